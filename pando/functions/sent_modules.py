"""Modules that were sent with a function, imported from their text."""

from __future__ import annotations

import importlib.machinery
import types
from collections.abc import Sequence

from . import package
from .resources import PLACE, Resource


class SentModules:
    """Imports the modules of a package from their shipped source.

    A finder and a loader, without the abstract classes of `importlib.abc`, which are slow to
    import. Tracebacks take a module's lines from `get_source`.
    """

    def __init__(
        self, modules: dict[str, package.ModuleSource], *, have_folders: bool = False
    ) -> None:
        self._modules = modules
        self._have_folders = have_folders  # where the files of packages are on this machine

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        module = self._modules.get(fullname)
        if module is None:
            return None
        spec = importlib.machinery.ModuleSpec(
            fullname,
            self,  # type: ignore[arg-type]
            origin=module.filename,
            is_package=module.is_package,
        )
        spec.has_location = True
        if module.is_package:
            folder = f"{PLACE}{fullname}"
            if self._have_folders:
                folder = module.filename.rpartition("/")[0]
            spec.submodule_search_locations = [folder]
        return spec

    def get_resource_reader(self, fullname: str) -> Resource | None:
        module = self._modules[fullname]
        if self._have_folders or not module.is_package:
            return None
        return Resource(module.data, "", fullname)

    def get_data(self, path: str) -> bytes:
        for name, module in self._modules.items():
            folder = module.filename.rpartition("/")[0]
            if module.is_package and path.startswith(f"{folder}/"):
                return Resource(module.data, path.removeprefix(f"{folder}/"), name).read_bytes()
        raise FileNotFoundError(f"{path} was not sent to workers")

    def get_source(self, fullname: str) -> str:
        return self._modules[fullname].source

    def is_package(self, fullname: str) -> bool:
        return self._modules[fullname].is_package

    def get_code(self, fullname: str) -> types.CodeType:
        module = self._modules[fullname]
        return compile(module.source, module.filename, "exec", dont_inherit=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        """Python's own way to make a module will do."""

    def exec_module(self, module: types.ModuleType) -> None:
        exec(self.get_code(module.__name__), vars(module))
