"""Built-in models from their files to where they answer: large ones are in memory once for all processes.

Not in here: how files are read (pickled), how memory is shared (hosting/sharing).
"""

import weakref
from functools import partial

from service.hosting.artifacts.unpacked import Room, unpacked_bytes
from service.hosting.footprint import SMALLEST_BYTES, measure
from service.hosting.memory import give_back_garbage
from service.hosting.programs.compiled import Compiling
from service.hosting.runtimes import sklearn
from service.hosting.runtimes.finding import find_file
from service.hosting.runtimes.flavour import FlavourModel
from service.hosting.runtimes.runtime import Contents, tell_nobody
from service.hosting.sharing import ArrayStore


def load(contents: Contents) -> FlavourModel:
    """Load the folder's model. Raises ModelFault, NeedsOwnCode."""
    store = contents.arrays
    if store is not None and store.is_for(unpacked_bytes(find_file(contents.folder), store.least_bytes)):
        return _load_shared(contents, store)
    predictor = _load(contents, contents.room)
    return _model(contents, predictor, measure(predictor.estimator, contents.folder))


def _load_shared(contents: Contents, store: ArrayStore) -> FlavourModel:
    """As the first of those that share it, or as one of the next."""
    name = f"{contents.folder}\0{contents.version}"
    with store.open(name, contents.tell) as arrays:
        predictor = _load(contents, contents.room._replace(sharers=store.sharers, built=arrays.note))
        shared_bytes = arrays.exchange([predictor.estimator])
        own_bytes = measure(predictor.estimator, contents.folder) - shared_bytes
        predictor.share_programs(partial(store.open, f"{name}\0programs", tell_nobody), store.sharers)
        size_bytes = max(own_bytes + shared_bytes // store.sharers, SMALLEST_BYTES)
        model = _model(contents, predictor, size_bytes)
    weakref.finalize(model, arrays.close)
    give_back_garbage()
    return model


def _load(contents: Contents, room: Room) -> sklearn.SklearnModel:
    return sklearn.load(contents.folder, contents.environment, room)


def _model(contents: Contents, predictor: sklearn.SklearnModel, size_bytes: int) -> FlavourModel:
    compiling = Compiling.of(predictor, contents.environment, contents.most_program_bytes)
    return FlavourModel(predictor, size_bytes, contents.default_accept, compiling)
