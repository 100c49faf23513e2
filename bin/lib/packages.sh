# Sourced by `bin/test`: programs that some tests need, installed where that may be done.

wants() { # FOLDER, ARGUMENTS of pytest: whether they are for the tests of this folder, or for all
    local folder="$1" argument
    shift
    (($# == 0)) && return
    for argument in "$@"; do
        [[ "$argument" == *"$folder"* ]] && return
    done
    return 1
}

need_proxy() { # nginx: tests behind it are skipped by name without
    if ! PATH="$PATH:/usr/sbin" command -v nginx >/dev/null; then
        install_packages nginx nginx
    fi
}

need_routers() { # nftables and ip, for real routers in network namespaces, and a TURN server
    if ! PATH="$PATH:/usr/sbin:/sbin" command -v nft >/dev/null || ! PATH="$PATH:/usr/sbin:/sbin" command -v ip >/dev/null; then
        install_packages "routers" nftables iproute2
    fi
    if ! command -v turnserver >/dev/null; then
        install_packages "a TURN server" coturn
    fi
}

install_packages() { # NAME for people, PACKAGES of Debian
    command -v apt-get >/dev/null && ((EUID == 0)) || return 0
    echo "pando: installing $1 for the tests, once" >&2
    shift
    export DEBIAN_FRONTEND=noninteractive
    { apt-get install --yes "$@" || { apt-get update && apt-get install --yes "$@"; }; } >/dev/null 2>&1 || true
}
