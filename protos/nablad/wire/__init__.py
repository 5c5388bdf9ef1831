"""Codecs between numpy, plain Python and the messages of nablad.v1, shared by server, workers and clients.

    tensors        ndarray <-> Tensor, and the content hash of an array
    csr            a sparse matrix's three arrays <-> CsrMatrix
    graphs         an expression's graph <-> ExpressionGraph
    chunks         an array as numbered, checksummed pieces of a stream, and back
    references     the tensors of any message, found by walking it
    names          `solveJobs/{id}` and `datasets/{id}`
    statuses       the table of statuses and their families
    errors         errors <-> google.rpc.Status (no grpc: a worker may use it)
    rpc            google.rpc.Status <-> grpc, channel options, metadata keys
    handlers       a gRPC method handler, taken apart and remade
    deserializers  malformed request bytes become INVALID_ARGUMENT

Only rpc, handlers and deserializers import grpc. Import what you need from its own module.
"""
