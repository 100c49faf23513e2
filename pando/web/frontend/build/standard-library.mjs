/** Python's standard library with its modules compiled, so that each worker starts sooner. */

import { loadPyodide } from "pyodide";

const COMPILE = `
import io, zipfile, importlib.util, marshal, os, sys

def compiled(source_zip):
    """The same archive with each module as the .pyc that the import system takes in its place."""
    made = io.BytesIO()
    header = importlib.util.MAGIC_NUMBER + (0b01).to_bytes(4, "little")
    with zipfile.ZipFile(source_zip) as source, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
        for name in sorted(source.namelist()):
            data = source.read(name)
            if name.endswith(".py"):
                code = compile(data, "/lib/python3.zip/" + name, "exec", dont_inherit=True, optimize=0)
                # Checked by hash and never against it: archives have no times to compare.
                data, name = header + importlib.util.source_hash(data) + marshal.dumps(code), name + "c"
            target.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, 9)
    return made.getvalue()

compiled(f"/lib/python{sys.version_info[0]}{sys.version_info[1]}.zip")
`;

/** The archive as Pyodide's own Python makes it: another version's would not be read. */
export async function precompileStandardLibrary(folder) {
  const python = await loadPyodide({ indexURL: folder });
  const made = python.runPython(COMPILE);
  const data = made.toJs();
  made.destroy();
  return data;
}
