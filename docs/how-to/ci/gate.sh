#!/usr/bin/env bash
# Any CI: judge what was trained elsewhere. Usage: gate.sh STORE_ARCHIVE [SUITES]; exit status as pytest's.
set -euo pipefail
store="$1"
suites="${2:-suites}"

python -m venv .slmcheck/judge
. .slmcheck/judge/bin/activate
python -m pip install --quiet "${SLMCHECK_PACKAGE:-slmcheck}" # the judge alone: no torch
slmcheck cache import "$store"

status=0
pytest "$suites" --slm-offline "--slm-gate=${SLMCHECK_GATE:-dev}" --slm-report=slm-report \
  --junitxml=slm-report/junit.xml || status=$?
if [ -f slm-report/report.md ]; then
  echo "report: slm-report/report.html"
fi
exit "$status"
