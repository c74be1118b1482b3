# Sourced by scripts: installs Debian or Ubuntu packages for commands that are missing.
# `require COMMAND PACKAGE` notes one; `install_required` installs what was noted, or says what to install.

PATH="$PATH:/usr/sbin:/sbin"
required=()

require() {
  command -v "$1" >/dev/null || required+=("$2")
}

install_required() {
  [ "${#required[@]}" -gt 0 ] || return 0
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "missing packages: ${required[*]}; install them as root, e.g. apt-get install ${required[*]}" >&2
      exit 69
    fi
    as_root=(sudo)
  fi
  if ! command -v apt-get >/dev/null; then
    echo "missing packages (by their Debian names): ${required[*]}; install them and run this again" >&2
    exit 69
  fi
  echo "installing ${required[*]}" >&2
  "${as_root[@]}" apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${required[@]}" >&2
}
