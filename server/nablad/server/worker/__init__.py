"""What runs inside a worker process: template (where they are forked) and warming, process (the loop), solve and
evaluate (the two kinds of work), definitions and violations (messages -> checked values -> models), outcome (reports
-> messages).

Nothing here imports grpc; solvers are used by their public names only.
"""
