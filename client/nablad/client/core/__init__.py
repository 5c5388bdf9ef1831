"""The client without its input and output: what Client and AsyncClient share.

An operation is a generator that yields effects (call this method, read from this stream, wait) and returns its value;
a transport performs the effects, blocking or awaiting. So every decision, what to send, what to try again, where to
take up a stream, is written once, and can be tested without a network.
"""
