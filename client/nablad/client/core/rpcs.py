"""The methods of nablad.v1 that the client calls."""

from __future__ import annotations

from nablad.client.core.effects import Rpc

_SOLVER = "/nablad.v1.SolverService"
_DERIVATIVES = "/nablad.v1.DerivativeService"
_DATASETS = "/nablad.v1.DatasetService"

SOLVE = Rpc(f"{_SOLVER}/Solve")
CREATE_JOB = Rpc(f"{_SOLVER}/CreateSolveJob")
GET_JOB = Rpc(f"{_SOLVER}/GetSolveJob", quick=True)
LIST_JOBS = Rpc(f"{_SOLVER}/ListSolveJobs", quick=True)
CANCEL_JOB = Rpc(f"{_SOLVER}/CancelSolveJob", quick=True)
DELETE_JOB = Rpc(f"{_SOLVER}/DeleteSolveJob", quick=True, deletes=True)
WATCH_JOB = Rpc(f"{_SOLVER}/WatchSolveJob")
PREDICT = Rpc(f"{_SOLVER}/Predict")
VALUE = Rpc(f"{_DERIVATIVES}/Value")
GRADIENT = Rpc(f"{_DERIVATIVES}/Gradient")
JACOBIAN = Rpc(f"{_DERIVATIVES}/Jacobian")
HESSIAN = Rpc(f"{_DERIVATIVES}/Hessian")
HVP = Rpc(f"{_DERIVATIVES}/HessianVectorProduct")
JVP = Rpc(f"{_DERIVATIVES}/JacobianVectorProduct")
VJP = Rpc(f"{_DERIVATIVES}/VectorJacobianProduct")
TAYLOR = Rpc(f"{_DERIVATIVES}/Taylor")
CHECK = Rpc(f"{_DERIVATIVES}/CheckDerivatives")
DESCRIBE = Rpc(f"{_DERIVATIVES}/DescribeGraph")
UPLOAD = Rpc(f"{_DATASETS}/UploadDataset")
DOWNLOAD = Rpc(f"{_DATASETS}/DownloadDataset")
GET_DATASET = Rpc(f"{_DATASETS}/GetDataset", quick=True)
LIST_DATASETS = Rpc(f"{_DATASETS}/ListDatasets", quick=True)
DELETE_DATASET = Rpc(f"{_DATASETS}/DeleteDataset", quick=True, deletes=True)
