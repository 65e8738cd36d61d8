#!/bin/sh
# Installs what tests need to emulate machines (tests/support/virtualbox), where it is missing. Needs root and apt-get.
# Nothing that it installs runs by itself.
set -eu

# A program, and Debian's package that has it.
needed="systemd-nspawn:systemd-container mmdebstrap:mmdebstrap ssh:openssh-client ip:iproute2
    nsenter:util-linux setpriv:util-linux visudo:sudo sshd:openssh-server nft:nftables"
PATH="$PATH:/usr/sbin:/sbin"

packages=""
for pair in $needed; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || packages="$packages ${pair#*:}"
done
if [ -z "$packages" ]; then
    exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "install-machines: missing here:$packages; install them yourself (Debian: apt install$packages)" >&2
    exit 1
fi
echo "installing$packages"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# Tests run SSH servers of their own. Debian's package would start one for everybody, now and at every boot.
policy=/usr/sbin/policy-rc.d
case " $packages " in *" openssh-server "*)
    if [ ! -e $policy ]; then
        trap 'rm -f $policy' EXIT
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
    fi
    ;;
esac
# shellcheck disable=SC2086 # a list of packages
apt-get install -y -qq --no-install-recommends $packages >/dev/null
case " $packages " in *" openssh-server "*) systemctl --quiet disable ssh.service ssh.socket 2>/dev/null || : ;; esac
