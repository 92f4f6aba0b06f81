#!/bin/sh
# Install into /opt/thyme, a virtual environment without pip.
#   install.sh dependencies EXTRA...   what these extras of setup.cfg need; before the sources are
#                                      copied, so that their changes do not repeat this step
#   install.sh package COMMAND...      the project, and /opt/thyme/commands for the PATH, with these
#                                      commands only, no second python or pip
set -eu
what=$1
shift
cd /source
case $what in
dependencies)
    /tools/venv/bin/python - "$@" > /tmp/wanted.txt <<'P'
import configparser, sys
setup = configparser.ConfigParser()
setup.read("setup.cfg")
for extra in sys.argv[1:]:
    print(setup["options.extras_require"][extra])
P
    sh /tools/pip.sh --python /opt/thyme/bin/python3 install --no-warn-script-location \
        --only-binary :all: -c constraints.txt -r /tmp/wanted.txt
    ;;
package)
    sh /tools/pip.sh wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheels .
    sh /tools/pip.sh --python /opt/thyme/bin/python3 install --no-warn-script-location \
        --no-deps /tmp/wheels/plancton_grid-*.whl
    mkdir /opt/thyme/commands
    for name in "$@"; do
        if [ "$name" = condor ]; then
            # as thyme-vobox writes them: independent of a CE's PYTHONPATH
            /opt/thyme/bin/python3 -I -c \
                'from vobox.supervisor.links import write_commands; write_commands("/opt/thyme/commands", "/opt/thyme/bin/python3")'
        else
            ln -s "../bin/$name" "/opt/thyme/commands/$name"
        fi
    done
    ;;
esac
