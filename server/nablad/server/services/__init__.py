"""The gRPC handlers: boundary (what surrounds every call), solver, watching (streams of events), datasets, pages,
views."""
