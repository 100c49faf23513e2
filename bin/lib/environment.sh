# Sourced by the commands in bin/: the checkout's virtual environment, made when it is missing.
# It is made again when it does not work here, or pyproject.toml, or what the pages are built from,
# has changed since.

environment="$here/.venv"

make_environment() { # [GROUP]: with a group of dependencies besides, such as `test`
    is_made "${1:-}" && return
    find_python
    "$python" "$here/bin/lib/set_up.py" "${1:-}" || exit
}

is_made() { # [GROUP]: whether it was made to its end, here, by the Python that is wanted
    local stamp="$environment/.made${1:+-$1}" made_in made_by
    [[ -r "$stamp" && -x "$environment/bin/python" && -x "$environment/bin/pando" ]] || return
    { IFS= read -r made_in && IFS= read -r made_by; } <"$stamp" || return
    [[ "$made_in" == "$here" ]] || return
    [[ -z "${PYTHON:-}" || "$made_by" == "$PYTHON" ]] || return
    ! has_changed_since "$stamp"
}

has_changed_since() { # FILE
    local pages="$here/pando/web/frontend" changed=
    read -r changed < <(find "$here"/{pyproject.toml,hatch_build.py} \
        "$pages"/{src,build,index.html,package.json,package-lock.json,tsconfig.json,vite.config.ts,wheels.txt} \
        -newer "$1" -print) || true
    [[ -n "$changed" || ! -f "$here/pando/web/static/built-from" || ! -f "$here/pando/runtime/v8.js" ]]
}

find_python() {
    local candidates=(python3 python3.14 python3.13 python3.12 python3.11)
    [[ -n "${PYTHON:-}" ]] && candidates=("$PYTHON")
    for python in "${candidates[@]}"; do
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && return
    done
    if [[ -n "${PYTHON:-}" ]]; then
        echo "pando: PYTHON is $PYTHON, which is no Python 3.11 or newer: set it to one, or to nothing" >&2
    else
        echo "pando: needs Python 3.11 or newer: install one, or set PYTHON to its program" >&2
    fi
    exit 2
}
