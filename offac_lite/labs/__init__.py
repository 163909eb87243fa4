"""The course's interactive labs, a module each: thin meetings of a computation, a view from `plots`, and `lab.Lab`."""

from offac_lite.labs.baseline import SHARES, BaselineModel, BaselineResult, baseline_lab
from offac_lite.labs.clinic import ClinicModel, ClinicResult, clinic_lab
from offac_lite.labs.continuous import ContinuousModel, ContinuousResult, continuous_lab
from offac_lite.labs.critic import CriticModel, CriticResult, critic_lab
from offac_lite.labs.dashboard import Dashboard, History
from offac_lite.labs.replay import AgeModel, AgeResult, BufferModel, BufferResult, age_lab, buffer_lab
from offac_lite.labs.variance import AGES, VARIANCE_KS, VarianceModel, VarianceResult, variance_lab
from offac_lite.labs.watch import Album, MapModel, MapResult, WatchModel, WatchResult, map_lab, watch_lab
from offac_lite.labs.weights import WeightsModel, WeightsResult, weights_lab

__all__ = [
    "AGES",
    "SHARES",
    "VARIANCE_KS",
    "AgeModel",
    "AgeResult",
    "Album",
    "BaselineModel",
    "BaselineResult",
    "BufferModel",
    "BufferResult",
    "ClinicModel",
    "ClinicResult",
    "ContinuousModel",
    "ContinuousResult",
    "CriticModel",
    "CriticResult",
    "Dashboard",
    "History",
    "MapModel",
    "MapResult",
    "VarianceModel",
    "VarianceResult",
    "WatchModel",
    "WatchResult",
    "WeightsModel",
    "WeightsResult",
    "age_lab",
    "baseline_lab",
    "buffer_lab",
    "clinic_lab",
    "continuous_lab",
    "critic_lab",
    "map_lab",
    "variance_lab",
    "watch_lab",
    "weights_lab",
]
