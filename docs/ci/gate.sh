#!/usr/bin/env bash
# Does a change make this slower? Measures the change and its merge base in launches that take turns, on this machine.
#
#   gate.sh SCENARIO [OPTION OF `rankbench duel`]…      in a clone that has the history back to the merge base
#
# RANKBENCH_BASE     what the change goes into                          [origin/main]
# RANKBENCH_SOURCE   the folder that Python imports the project from    [.]
# RANKBENCH_IGNORE   changes to these alone are not measured            [*.md *.rst *.txt docs/*]
# RANKBENCH_OUT      the run directory; comment.md is written there     [rankbench-gate]
#
# Exit code: that of `rankbench duel`: 0 not slower, 1 slower or broken, 2 a usage error; 0 where nothing had to be measured.
set -euo pipefail

base=$(git merge-base "${RANKBENCH_BASE:-origin/main}" HEAD)
out=${RANKBENCH_OUT:-rankbench-gate}
read -ra ignore <<<"${RANKBENCH_IGNORE:-*.md *.rst *.txt docs/*}"

if git diff --quiet "$base" HEAD -- . "${ignore[@]/#/:(exclude,glob)**/}" "${ignore[@]/#/:(exclude,glob)}"; then
  echo "nothing to measure: no file that counts differs from $base"
  exit 0
fi

trees=$(mktemp -d)
trap 'rm -rf "$trees"; git worktree prune' EXIT
git worktree add --quiet --detach "$trees/base" "$base"
git worktree add --quiet --detach "$trees/head" HEAD
source=${RANKBENCH_SOURCE:-.}

code=0
rankbench duel "$@" --out "$out" --a "PYTHONPATH=$trees/base/$source" --b "PYTHONPATH=$trees/head/$source" || code=$?
if [ -f "$out/journal.jsonl" ]; then
  rankbench export "$out" --format markdown --out "$out/comment.md"
  [ -z "${GITHUB_STEP_SUMMARY:-}" ] || cat "$out/comment.md" >>"$GITHUB_STEP_SUMMARY"
fi
exit "$code"
