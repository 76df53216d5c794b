# shellcheck shell=bash
# Set-up for ./dev: system packages, LibTorch, lint tools. Every step skips what is already there. Sourced by ./dev,
# which sets `root`.

deps=${root:?}/.deps
packages=(
  g++ cmake ninja-build ccache mold python3 python3-pip ca-certificates
  libcli11-dev nlohmann-json3-dev libtomlplusplus-dev libfaiss-dev libonig-dev libutf8proc-dev libzstd-dev zlib1g-dev
  libxxhash-dev
  libgtest-dev libgmock-dev libbenchmark-dev
)
# For ./dev fuzz only.
fuzz_packages=(clang libclang-rt-dev)
# For preset aarch64 only: what runs here, and the libraries of `packages` that are not headers alone, for there.
aarch64_packages=(g++-aarch64-linux-gnu qemu-user)
aarch64_libraries=(libonig-dev libonig5 libutf8proc-dev libzstd-dev zlib1g-dev libgtest-dev libgmock-dev)

say() { printf '==> %s\n' "$*" >&2; }
stop() {
  printf 'dev: ' >&2
  printf '%s\n' "$@" >&2
  exit 1
}

# Debian and Ubuntu packages, through apt, asking nothing. LOOKBACK_NO_APT=1: they are the user's own business.
setup_packages() {
  [[ ${LOOKBACK_NO_APT:-} == 1 ]] && return
  command -v dpkg-query >/dev/null || stop "this is neither Debian nor Ubuntu: install the equivalents of" \
    "  ${packages[*]}" "yourself, then run with LOOKBACK_NO_APT=1"
  local missing
  missing=$(comm -23 <(printf '%s\n' "${packages[@]}" | sort) \
    <(dpkg-query -W -f='${db:Status-Abbrev} ${Package}\n' "${packages[@]}" 2>/dev/null |
      awk '$1 == "ii" {print $2}' | sort) | tr '\n' ' ')
  [[ -z $missing ]] && return
  local -a as_root=()
  if [[ $(id -u) != 0 ]]; then
    if ! sudo -n true 2>/dev/null; then
      stop "system packages are missing, and installing them needs root. Run this once, then ./dev again:" \
        "  sudo apt-get update && sudo apt-get install -y --no-install-recommends $missing"
    fi
    as_root=(sudo -n)
  fi
  say "installing system packages: $missing"
  # Through env, since sudo drops the proxies; the lock timeout waits for a machine's own first upgrade.
  as_root+=(env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 "http_proxy=${http_proxy:-}"
    "https_proxy=${https_proxy:-}" apt-get -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3)
  "${as_root[@]}" -q update >&2 || say "apt-get update failed; trying with the package lists that are there"
  # shellcheck disable=SC2086
  "${as_root[@]}" -q install -y --no-install-recommends $missing </dev/null >&2 ||
    stop "apt could not install the packages (its reason is above)." \
      "Without network, install them another way: $missing" \
      "On Ubuntu most of them are in 'universe': sudo add-apt-repository universe"
}

# fetch_wheels <name> <requirements file> <MB needed> <folder>: pinned wheels, unpacked into the folder, which then
# gets a stamp.
# The wheels' platform is named in full, so any Python's pip will do, whatever its own version.
fetch_wheels() {
  local name=$1 requirements=$2 needed_mb=$3 folder=$4 stamp=$4/.complete-$1 partial=$4/.partial-$1 wanted lock free_mb
  wanted=$(sha256sum <"$requirements")
  [[ -f $stamp && $(<"$stamp") == "$wanted" ]] && return
  [[ $(uname -m) == x86_64 ]] || stop "the pinned wheels are for x86_64, this machine is $(uname -m);" \
    "point LOOKBACK_TORCH at the site-packages of a Python that has torch 2.11"
  local python=python3
  "$python" -m pip --version >/dev/null 2>&1 || python=/usr/bin/python3
  "$python" -m pip --version >/dev/null 2>&1 || stop "python3 has no pip: apt-get install python3-pip"

  mkdir -p "$folder"
  exec {lock}>"$folder/.lock"
  flock "$lock"
  if [[ -f $stamp && $(<"$stamp") == "$wanted" ]]; then # another ./dev was faster
    exec {lock}>&-
    return
  fi
  free_mb=$(df -Pm "$folder" | awk 'NR == 2 {print $4}')
  ((free_mb >= needed_mb)) || stop "$name needs $needed_mb MB of disk in $folder while it is unpacked; $free_mb MB are free"
  say "fetching $name from PyPI into ${folder#"$root/"}"
  rm -rf "$partial" "$stamp"
  mkdir -p "$partial/site" "$partial/tmp"
  # TMPDIR: pip unpacks there first, and /tmp may be small. No cache: older pips hold a whole wheel in memory for it.
  if ! TMPDIR=$partial/tmp "$python" -m pip install --no-deps --no-compile --no-cache-dir --only-binary=:all: \
    --require-hashes --implementation cp --python-version 3.11 --platform manylinux_2_28_x86_64 \
    --platform manylinux_2_27_x86_64 --platform manylinux_2_25_x86_64 --platform manylinux_2_18_x86_64 \
    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --root-user-action ignore \
    --disable-pip-version-check --target "$partial/site" -r "$requirements" </dev/null >&2; then
    rm -rf "$partial"
    stop "$name could not be fetched from PyPI (pip's reason is above). Running the same command again starts over." \
      "Behind a proxy: set https_proxy. A mirror of PyPI: set PIP_INDEX_URL." \
      "LibTorch without network: LOOKBACK_TORCH=/path/to/site-packages of a Python that has torch 2.11"
  fi
  # Another version's files go first; nvidia/ is shared by several wheels, so it is merged. The stamp comes last.
  local entry
  for entry in "$partial"/site/*; do
    [[ $(basename "$entry") == nvidia ]] || rm -rf "${folder:?}/$(basename "$entry")"
  done
  cp -alf "$partial/site/." "$folder/"
  rm -rf "$partial"
  printf '%s\n' "$wanted" >"$stamp"
  exec {lock}>&-
}

# Sets torch_root, the folder that holds torch/ (and nvidia/): .deps, or what LOOKBACK_TORCH points to.
setup_libtorch() {
  torch_root=$deps
  if [[ -z ${LOOKBACK_TORCH:-} ]]; then
    fetch_wheels libtorch "$root/tools/wheels/libtorch.txt" 2500 "$deps"
    return
  fi
  torch_root=$(realpath -m "$LOOKBACK_TORCH")
  [[ ! -d $torch_root/torch && -f $torch_root/lib/libtorch_cpu.so ]] && torch_root=$(dirname "$torch_root")
  [[ -f $torch_root/torch/lib/libtorch_cpu.so && -f $torch_root/torch/include/ATen/ATen.h ]] ||
    stop "LOOKBACK_TORCH=$LOOKBACK_TORCH: no torch/lib/libtorch_cpu.so and torch/include/ATen/ATen.h in there;" \
      "expected the site-packages folder of a Python that has torch 2.11"
}

# SentencePiece's sources. A machine that has its own LibTorch may have no network: it does without.
setup_sentencepiece() {
  [[ -f $deps/sentencepiece/VERSION.txt ]] && return
  mkdir -p "$deps"
  say "fetching sentencepiece from PyPI into .deps"
  if [[ -z ${LOOKBACK_TORCH:-} ]]; then
    "$root/tools/fetch_sentencepiece.sh" "$deps" </dev/null >&2 ||
      stop "SentencePiece's sources could not be fetched from PyPI (the reason is above)"
  elif ! PIP_RETRIES=0 PIP_DEFAULT_TIMEOUT=10 "$root/tools/fetch_sentencepiece.sh" "$deps" </dev/null >/dev/null 2>&1; then
    say "SentencePiece's sources could not be fetched: this build will refuse SentencePiece .model files"
  fi
}

# The libraries for preset aarch64, unpacked into .deps/aarch64 from the packages of this machine's own distribution. apt
# keeps its lists and its state of installed packages beside them: the machine's own stay as they are.
setup_aarch64_libraries() {
  local folder=$deps/aarch64 stamp=$deps/aarch64/.complete partial=$deps/aarch64.partial wanted=${aarch64_libraries[*]} apt file
  [[ ${LOOKBACK_NO_APT:-} == 1 || (-f $stamp && $(<"$stamp") == "$wanted") ]] && return
  [[ $(uname -m) == x86_64 ]] || stop "preset aarch64 compiles on x86_64 for aarch64; this machine is $(uname -m)"
  say "fetching libraries for aarch64 through apt into .deps/aarch64"
  rm -rf "$partial" "$folder"
  mkdir -p "$partial"/{lists/partial,archives/partial,sources.list.d,preferences.d,debs,root}
  touch "$partial/status"
  # Ubuntu's servers for other processors than x86-64 are others.
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources}; do
    [[ ! -f $file ]] || sed -E 's#https?://([a-z0-9.-]*archive|security)\.ubuntu\.com/ubuntu/?#http://ports.ubuntu.com/ubuntu-ports/#' \
      "$file" >"$partial/${file#/etc/apt/}"
  done
  apt=(apt-get -q -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Sandbox::User=root
    -o Acquire::Retries=3 -o "Dir::State=$partial" -o "Dir::State::status=$partial/status" -o "Dir::Cache=$partial"
    -o "Dir::Etc::sourcelist=$partial/sources.list" -o "Dir::Etc::sourceparts=$partial/sources.list.d")
  if ! "${apt[@]}" update </dev/null >&2 || ! (cd "$partial/debs" && "${apt[@]}" download "${aarch64_libraries[@]}" </dev/null >&2); then
    rm -rf "$partial"
    stop "apt could not fetch Debian's packages for arm64 (its reason is above): ${aarch64_libraries[*]}" \
      "They come from the servers in /etc/apt/sources.list and sources.list.d; a mirror may have x86-64's packages only"
  fi
  for file in "$partial"/debs/*.deb; do dpkg -x "$file" "$partial/root"; done
  printf '%s\n' "$wanted" >"$partial/root/.complete"
  mv "$partial/root" "$folder"
  rm -rf "$partial"
}

# What the CUDA half of LibTorch loads and neither torch_root, nor a toolkit, nor the system has.
setup_cuda_libraries() {
  local library wheel requirements installed missing=()
  installed=$(/sbin/ldconfig -p)
  while read -r library wheel; do
    [[ $library == '#' ]] && continue
    if [[ $installed == *$library* ]] || compgen -G "/usr/local/cuda/lib64/$library" >/dev/null ||
      compgen -G "$torch_root/nvidia/*/lib/$library" >/dev/null; then
      continue
    fi
    missing+=("$wheel")
  done <"$root/tools/wheels/cuda.txt"
  ((${#missing[@]} == 0)) && return
  [[ $torch_root == "$deps" ]] || stop "the Python of LOOKBACK_TORCH lacks what the CUDA half of LibTorch needs; in it:" \
    "  python3 -m pip install ${missing[*]%% *}"
  requirements=$(mktemp)
  printf '%s\n' "${missing[@]}" >"$requirements"
  fetch_wheels cuda "$requirements" 3000 "$deps"
  rm -f "$requirements"
}

setup_lint_tools() { fetch_wheels lint "$root/tools/wheels/lint.txt" 500 "$deps/tools"; }
