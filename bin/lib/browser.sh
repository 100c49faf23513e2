# Sourced by `bin/test`: what the tests of the pages need, Node and browsers.

test_pages() {
    need_modules
    (
        cd "$here/pando/web/frontend"
        run_npm run --silent check
        run_npm run --silent test
    )
}

need_modules() { # what the pages are built and tested with: axe is for the browser tests, too
    (
        cd "$here/pando/web/frontend"
        # npm writes this file last: without it, or with an older one, what is there is not all.
        if [[ ! -f node_modules/.package-lock.json || package-lock.json -nt node_modules/.package-lock.json ]]; then
            run_npm ci --include=dev --no-audit --no-fund --loglevel=error
        fi
    )
}

run_npm() { # ARGUMENTS of npm, which comes from PATH or from a package in the environment
    "$environment/bin/python" -m pando.functions.npm "$@"
}

wants_browser() { # ARGUMENTS of pytest: whether they are for tests in a browser, or for all
    wants "tests/browser" "$@" || [[ " $* " == *" browser "* ]]
}

find_browser() {
    for browser in "${CHROMIUM:-chromium}" chromium chromium-browser google-chrome; do
        command -v "$browser" >/dev/null && return
    done
    return 1
}

need_browser() { # installs those that are missing, where it may
    if ! find_browser; then
        install_packages Chromium chromium
    fi
    if ! find_browser; then
        echo "pando: the browser tests need Chromium: install it, or set CHROMIUM to its program" >&2
        exit 2
    fi
    CHROMIUM="$(command -v "$browser")"
    export CHROMIUM
    need_other_browsers
    need_modules
}

need_other_browsers() { # Firefox and WebKit: tests that lack theirs are skipped by name
    if ! command -v firefox-esr >/dev/null && ! command -v firefox >/dev/null; then
        install_packages Firefox firefox-esr
    fi
    if ! command -v WebKitWebDriver >/dev/null || ! command -v Xvfb >/dev/null; then
        install_packages WebKit webkit2gtk-driver xvfb
    fi
}
