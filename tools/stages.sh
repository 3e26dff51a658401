# shellcheck shell=bash disable=SC2034
# The stages of tools/check, which sources this file. A stage is a row of the table and a function
# stage_NAME that adds to passed, failed and skipped.

all_stages=() default_stages=() fast_stages=()
declare -A budgets=() descriptions=() built=()

# add_stage NAME SECONDS MODES DESCRIPTION, in the order in which they run. The seconds are those of two
# idle processors and an empty build folder; by default all but lint's, which runs beside others, are 16 minutes.
add_stage() {
    budgets[$1]=$2 descriptions[$1]=$4
    [[ $3 == *full* ]] && all_stages+=("$1")
    [[ $3 == *default* ]] && default_stages+=("$1")
    [[ $3 == *fast* ]] && fast_stages+=("$1")
    return 0
}

add_stage format 8 fast,default,full "clang-format has nothing to change"
add_stage layers 10 fast,default,full "includes point downwards, every header stands alone"
add_stage promises 5 fast,default,full "every promise has a test that exists"
add_stage build-gcc 60 fast,default,full "gcc, warnings are errors"
add_stage build-clang 140 fast,default,full "clang with sanitizers, warnings are errors"
add_stage lint 100 fast,default,full "clang-tidy, banned calls, comments, spelling, shell, rules"
add_stage test 55 fast,default,full "all tests that need no servers"
add_stage sanitize 90 fast,default,full "the same under AddressSanitizer and UBSan"
add_stage valgrind 115 default,full "unit and contract tests under valgrind"
add_stage tsan 70 default,full "the rooms with threads under ThreadSanitizer"
add_stage simulator 25 fast,default,full "the simulated world, its seeds"
add_stage integration 190 default,full "tests with real servers"
add_stage user 190 default,full "build and all tests again as an ordinary user (when root)"
add_stage interop 300 full "tests with other people's programs, from the npm and PyPI registries"
add_stage fuzz 900 full "every fuzz target for a while"
add_stage coverage 300 full "which lines the tests reach"
add_stage kept 5 default,full "every promise's test ran and passed"
add_stage accept 60 "" "rewrites the golden tests' expected results"

# Where --full does more: its sum is 73 minutes.
declare -A full_budgets=([simulator]=500 [integration]=900 [user]=900)

# Suites with a stage of their own; all others are run by test and sanitize.
own_suites=(integration interop simulator slow)
# Those whose programs have threads.
threaded_suites=(net store threads)
: "${mode:=}" "${beside:=}" "${passed:=0}" "${failed:=0}" "${skipped:=0}" "${top:=}" "${stage:=}" "${selected:=}"

# --- What the stages share ---

# Chooses the folder to build in and starts an empty list of results.
prepare() {
    export PYTHONDONTWRITEBYTECODE=1 LC_ALL=C.UTF-8
    # Tests wait as long as they compute.
    export MESON_TESTTHREADS=${MESON_TESTTHREADS:-$((2 * $(nproc)))}
    # The clone may belong to another user than the one who runs this.
    export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=$top
    if ! build=$(build_folder "$top"); then
        echo "There is no folder to build in: make $top writable, or set TMPDIR."
        return 1
    fi
    [ "$build" = "$top/build" ] || echo "Building in $build"
    mkdir -p "$build/logs"
    # What was compiled in one folder is taken over in another, whose paths in the debugger may be stale.
    export CCACHE_DIR=$build/ccache CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=locale CCACHE_MAXSIZE=500M
    results=$build/results.tsv
    failures=$build/failures.txt
    [ -z "${PARLEY_CHECK_BESIDE:-}" ] || return 0
    : >"$results"
    : >"$failures"
}

pass() {
    passed=$((passed + 1))
}

# Counts a failure and says why; the end of the check repeats it with the first lines of a log, if
# one is named: fail WHAT [LOG].
fail() {
    failed=$((failed + 1))
    echo "  failed: $1"
    echo "$stage: $1" >>"$failures"
    [ -z "${2:-}" ] || grep -v '^ *$' "$2" | head -n 5 | cut -c 1-300 | sed 's/^/    /' >>"$failures"
}

skip() {
    skipped=$((skipped + 1))
    echo "  skipped: $1"
}

# Runs a command with so many of the lines from its input at a time, on all cores: in_parallel N COMMAND...
in_parallel() {
    local many=$1
    shift
    xargs -d '\n' -r -P "$(nproc)" -n "$many" "$@"
}

# Runs a command as one check; shows its output only when it fails.
check_that() {
    local what=$1 log
    shift
    log=$build/logs/check-$stage.log
    if "$@" >"$log" 2>&1; then
        pass
    else
        fail "$what" "$log"
        sed 's/^/    /' "$log" | head -n 200
    fi
}

# The project's files that match the patterns, also new ones that git does not know yet.
list_files() {
    local file
    git ls-files -co --exclude-standard -- "$@" | while IFS= read -r file; do
        [ -f "$file" ] && printf '%s\n' "$file"
    done
}

# The files changed since main, or by the last commit when there are none.
changed_files() {
    local base changed
    base=$(git merge-base HEAD origin/main 2>/dev/null || git merge-base HEAD main 2>/dev/null)
    changed=$({ git diff --name-only "${base:-HEAD}" && git ls-files -o --exclude-standard; } | sort -u)
    [ -n "$changed" ] || changed=$(git diff --name-only HEAD~1 2>/dev/null)
    [ -z "$changed" ] || printf '%s\n' "$changed"
}

# Configures a build once: set_up NAME COMPILER [MESON OPTION...].
set_up() {
    local folder=$build/$1 compiler=$2
    shift 2
    if [ -f "$folder/build.ninja" ]; then
        grep -qF "\"source\": \"$top\"" "$folder/meson-info/meson-info.json" && return 0
        rm -rf "$folder"
    fi
    CC=$compiler meson setup "$@" "$folder"
}

# Prints the programs that the tests of some suites start: programs_of BUILD SUITE...
programs_of() {
    local folder=$build/$1
    shift
    meson introspect --tests "$folder" | python3 -c '
import json, os, sys
folder, *suites = sys.argv[1:]
for test in json.load(sys.stdin):
    if set(suites) & {suite.split(":")[-1] for suite in test["suite"]}:
        print(*(os.path.relpath(word, folder) for word in test["cmd"] if word.startswith(folder)), sep="\n")
' "$folder" "$@" | sort -u
}

# Configures and compiles one of the builds by its name.
compile() {
    local targets=() cached=gcc
    # The stage user compiles the same once more, in another folder.
    ! command -v ccache >/dev/null || cached="ccache gcc"
    case $1 in
    gcc) set_up gcc "$cached" ;;
    # With the optimizer the compiler takes three times as long, which the tests give back: those that add up
    # pages of a database take ten times as long without it.
    sanitize) set_up sanitize clang -Db_sanitize=address,undefined ;;
    tsan) set_up tsan clang -Db_sanitize=thread ;;
    teeth) set_up teeth gcc -Dteeth=true -Dbuildtype=release ;;
    fuzz) set_up fuzz clang -Db_sanitize=address,undefined -Dfuzzing=true ;;
    coverage) set_up coverage gcc -Db_coverage=true ;;
    esac || return
    if [ "$1" = tsan ]; then
        mapfile -t targets < <(programs_of tsan "${threaded_suites[@]}")
    elif [ "$1" = teeth ]; then
        targets=(tests/sim/simulator)
    fi
    ninja -C "$build/$1" "${targets[@]}"
}

# What the compiler said in the log of a build that failed, else the log's end.
what_broke() {
    if grep -q '^FAILED:' "$1"; then
        sed -n '/^FAILED:/,$p' "$1" | grep -vE '^\[[0-9]+/[0-9]+\] |^ninja: |^(gcc|clang|ccache) ' | head -n 60
    else
        tail -n 20 "$1"
    fi
}

# Compiles one of the builds unless this run did; counts a failure, once, when that fails.
need_build() {
    local log=$build/logs/build-$1.log
    if [ -z "${built[$1]:-}" ]; then
        if compile "$1" >"$log" 2>&1; then
            built[$1]=yes
        else
            built[$1]=no
            what_broke "$log" >"$build/logs/broken.log"
            fail "the $1 build; all of it is in $log" "$build/logs/broken.log"
            sed 's/^/    /' "$build/logs/broken.log"
        fi
    elif [ "${built[$1]}" = no ]; then
        fail "the $1 build failed before, so nothing of it can be tested"
    fi
    [ "${built[$1]}" = yes ]
}

# Prints a folder in memory for what tests write, where there is one with room for it and for programs:
# a disk is waited for with every sync, and takes a third of the computing time of small files.
folder_in_memory() {
    local options room
    read -r options room < <(findmnt -nro OPTIONS,AVAIL -b -T /dev/shm 2>/dev/null)
    [[ ",$options," != *,noexec,* ]] && [ "${room:-0}" -gt 1500000000 ] && [ -w /dev/shm ] &&
        mktemp -d /dev/shm/pc-XXXX
}

# Runs meson tests as run_tests does, with their files in memory.
run_tests_in_memory() {
    local folder
    if folder=$(folder_in_memory); then
        chmod 1777 "$folder"
        TMPDIR=$folder run_tests "$@"
        rm -rf "$folder"
    else
        run_tests "$@"
    fi
}

# Runs meson tests of a build and counts every subtest: run_tests STAGE BUILD [MESON OPTION...].
run_tests() {
    local stage=$1 folder=$build/$2 log=$build/logs/$1.log logs counts status=0
    shift 2
    rm -f "$folder/meson-logs/$stage"*.json
    meson test -C "$folder" --no-rebuild --logbase "$stage" "$@" >"$log" 2>&1 || status=$?
    logs=("$folder/meson-logs/$stage"*.json)
    if [ ! -f "${logs[0]}" ]; then
        [ "$status" -eq 0 ] && return
        tail -n 20 "$log" >"$build/logs/broken.log"
        fail "meson test itself" "$build/logs/broken.log"
        cat "$build/logs/broken.log"
        return
    fi
    if ! counts=$(python3 tools/test-results.py "$stage" "${logs[0]}" "$results" "$failures"); then
        fail "$stage: its results cannot be read"
        return
    fi
    [ "$counts" = "${counts##*$'\n'}" ] || printf '%s\n' "${counts%$'\n'*}"
    read -r -a counts <<<"${counts##*$'\n'}"
    passed=$((passed + counts[0])) failed=$((failed + counts[1])) skipped=$((skipped + counts[2]))
    if [ "$status" -ne 0 ] && [ "${counts[1]}" -eq 0 ]; then
        fail "meson test ended with $status although no test failed; see $log"
    fi
}

# --- The stages ---

stage_format() {
    local files
    mapfile -t files < <(list_files '*.c' '*.h')
    [ "${#files[@]}" -eq 0 ] ||
        check_that "clang-format -i would change something" \
            in_parallel 20 clang-format --dry-run -Werror < <(printf '%s\n' "${files[@]}")
}

headers_stand_alone() {
    local flags
    read -r -a flags < <(pkg-config --cflags libpq gnutls libnftables libsodium nettle jansson yaml-0.1 sqlite3)
    list_files 'src/*.h' 'twin/*.h' |
        in_parallel 1 gcc -std=gnu17 -D_GNU_SOURCE -DPARLEY_VERSION='""' -Isrc -I. "${flags[@]}" \
            -fsyntax-only -x c /dev/null -include
}

stage_layers() {
    check_that "includes point downwards" python3 tools/check-layers.py
    check_that "every header stands alone" headers_stand_alone
}

stage_promises() {
    check_that "docs/promises.md" python3 tools/check-promises.py
}

stage_build_gcc() {
    need_build gcc && pass
}

stage_build_clang() {
    need_build sanitize && pass
}

# The .c files to lint: all of src and twin, in --fast only those that changed or include what did.
files_to_lint() {
    local changed file
    if [ "$mode" != fast ]; then
        list_files 'src/*.c' 'twin/*.c'
        return
    fi
    changed=$(changed_files)
    list_files 'src/*.c' 'twin/*.c' | while IFS= read -r file; do
        if grep -qxF "$file" <<<"$changed" ||
            sed -n 's/^#include "\(.*\)"/\1/p' "$file" | sed 's|^|src/|' | grep -qxFf <(echo "$changed"); then
            printf '%s\n' "$file"
        fi
    done
}

# A rule that would change something is broken; what it would change is the message.
follows_rule() {
    local rule=$1 output
    shift
    output=$(spatch --very-quiet --macro-file tools/coccinelle/macros.h --sp-file "$rule" "$@" 2>&1) ||
        { printf '%s\n' "$output" && return 1; }
    [ -z "$output" ] && return
    head -n 1 "$rule"
    printf '%s\n' "$output"
    return 1
}

# For information: what stands out by size, for a second look.
list_large() {
    local files
    mapfile -t files < <(list_files 'src/*.c' 'twin/*.c')
    [ "${#files[@]}" -gt 0 ] || return 0
    pmccabe "${files[@]}" | sort -rn |
        awk -F'\t' '$2 > 20 || $5 > 80 {
            printf "  large: %s (complexity %d, %d lines)\n", $6, $2, $5
        }' | head -n 20
    wc -l "${files[@]}" | awk '$1 > 1000 && $2 != "total" { printf "  large: %s (%d lines)\n", $2, $1 }'
}

stage_lint() {
    local files scripts sources rule depth=()
    [ "$mode" != full ] || depth=(--deep)
    mapfile -t files < <(files_to_lint)
    mapfile -t sources < <(list_files 'src/*.[ch]' 'twin/*.[ch]' 'tests/*.[ch]')
    mapfile -t scripts < <(list_files | xargs -d '\n' grep -lIE '^#!.*\bbash|^# shellcheck shell=bash' 2>/dev/null)
    if [ "${#files[@]}" -gt 0 ] && need_build sanitize; then
        check_that "clang-tidy" python3 tools/tidy.py "${depth[@]}" "$build/sanitize" "${files[@]}"
    fi
    check_that "comments and calls" python3 tools/check-source.py "${sources[@]}"
    check_that "spelling" spell
    check_that "shellcheck" shellcheck -x "${scripts[@]}"
    for rule in tools/coccinelle/*.cocci; do
        if [ "${#files[@]}" -gt 0 ]; then
            check_that "${rule##*/}" follows_rule "$rule" "${files[@]}"
        fi
    done
    list_large
}

spell() {
    list_files ':!LICENSE' ':!tests/fuzz/corpus' ':!tests/golden' |
        xargs -d '\n' codespell --ignore-words tools/codespell-ignore.txt
}

stage_test() {
    need_build gcc && run_tests_in_memory test gcc "${own_suites[@]/#/--no-suite=}"
}

# In --fast without the lifecycle tests: each starts programs by the hundred, and the stage test has them.
stage_sanitize() {
    local options=(-t 4 --no-suite=house "${own_suites[@]/#/--no-suite=}")
    [ "$mode" != fast ] || options+=(--no-suite=lifecycle)
    need_build sanitize || return
    ASAN_OPTIONS=halt_on_error=1:detect_leaks=1:detect_stack_use_after_return=1 \
        UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
        run_tests_in_memory sanitize sanitize "${options[@]}"
}

stage_valgrind() {
    need_build gcc || return
    # Leaks are LeakSanitizer's in the stage sanitize: here the children that tests kill or let vanish
    # in the middle of their work would count as leaking.
    run_tests_in_memory valgrind gcc -t 10 --suite=unit --suite=contract --no-suite=house --wrapper \
        "valgrind -q --error-exitcode=99 --leak-check=no"
}

stage_tsan() {
    need_build tsan || return
    TSAN_OPTIONS=halt_on_error=1 run_tests_in_memory tsan tsan -t 10 "${threaded_suites[@]/#/--suite=}"
}

stage_simulator() {
    need_build gcc || return
    [ "$mode" != full ] || export PARLEY_SIM_FRESH=10000
    run_tests simulator gcc --suite=simulator
    if [ "$mode" = full ]; then
        need_build teeth && run_tests teeth teeth --suite=teeth
    fi
}

# The tests that root runs once more as an ordinary user are left to the stage user where it follows,
# and to who is one already.
stage_integration() {
    local options=(--suite=integration --suite=slow)
    if [ "$(id -u)" -ne 0 ] || [[ " ${selected[*]} " == *" user "* ]]; then
        options+=(--no-suite=as-user)
    fi
    if [ "$mode" = full ]; then
        export PARLEY_STORM_KILLS=200 PARLEY_STORM_EACH=10 PARLEY_FAILOVER_RUNS=100
        options+=(-t 5)
    fi
    need_build gcc && run_tests integration gcc "${options[@]}"
}

stage_interop() {
    local wanted=("${packages_interop[@]}")
    # Debian's brings 400 packages; any other will do.
    command -v npm >/dev/null || wanted+=(npm)
    need_packages "${wanted[@]}" || echo "A test that cannot do without them is skipped."
    need_build gcc && run_tests interop gcc --suite=interop
}

stage_accept() {
    need_build gcc || return
    PARLEY_ACCEPT=1 run_tests accept gcc --suite=golden
    git --no-pager diff --stat -- tests
}

# Copies the project to a folder of its own and runs the tests there as another user, with the PATH that Debian
# gives to those: it has no sbin.
stage_user() {
    local user=${PARLEY_CHECK_USER:-nobody} folder output counts depth=()
    [ "$mode" != full ] || depth=(--full)
    if [ "$(id -u)" -ne 0 ]; then
        echo "  this is an ordinary user already"
        return
    fi
    folder=$(mktemp -d /tmp/parley-user-XXXXXX)
    mkdir -p "$folder/home" "$folder/project/build"
    list_files | tar -cf - -T - | tar -xf - -C "$folder/project"
    [ ! -d "$build/ccache" ] || cp -r "$build/ccache" "$folder/project/build"
    chown -R "$user:$(id -g "$user")" "$folder"
    output=$build/logs/user.log
    setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups \
        env -i PATH=/usr/local/bin:/usr/bin:/bin HOME="$folder/home" USER="$user" CI="${CI:-}" \
        bash "$folder/project/tools/check" "${depth[@]}" --stage build-gcc test integration >"$output" 2>&1
    read -r -a counts < <(tail -n 1 "$output" | tr -dc '0-9 \n')
    sed '/^== what failed/,$d' "$output" | grep -E '^ '
    if [ "${#counts[@]}" -lt 2 ]; then
        fail "the tests as $user did not end; see $output" <(tail -n 5 "$output")
    else
        passed=$((passed + counts[0])) failed=$((failed + counts[1]))
        skipped=$((skipped + ${counts[2]:-0}))
    fi
    sed 's/^/user-/' "$folder/project/build/results.tsv" >>"$results"
    sed 's/^[^ ]/user-&/' "$folder/project/build/failures.txt" >>"$failures"
    rm -rf "$folder"
}

# Fuzzes one target from its corpus and what earlier runs found; a crash leaves its input in artifacts/.
fuzz_target() {
    local target=$1 seconds=$2 folder=$build/fuzz/found longest=65536
    # Thirty resources in many orders find more than a hundred in few.
    [ "$target" != fuzz-twin-message ] || longest=4096
    mkdir -p "$folder/$target" "$build/fuzz/artifacts"
    # What is freed is kept for as long as any run lasts; more only costs pages that are new each time.
    ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=16:malloc_context_size=8 \
        "$build/fuzz/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len="$longest" \
        -print_final_stats=1 -artifact_prefix="$build/fuzz/artifacts/$target-" \
        "$folder/$target" "tests/fuzz/corpus/$target"
}

# What became of a target: ended_well PROCESS LOG.
ended_well() {
    local status=0
    wait "$1" || status=$?
    cat "$2"
    return "$status"
}

# As many targets at a time as there are processors; all together take ten minutes on two.
stage_fuzz() {
    local target targets seconds log
    local -A runs=()
    need_build fuzz || return
    mapfile -t targets < <(find "$build/fuzz" -maxdepth 1 -type f -name 'fuzz-*' -executable -printf '%f\n')
    [ "${#targets[@]}" -gt 0 ] || return
    seconds=${PARLEY_FUZZ_SECONDS:-$((1200 / ${#targets[@]}))}
    for target in "${targets[@]}"; do
        while [ "$(jobs -rp | grep -vcx "${beside:-none}")" -ge "$(nproc)" ]; do sleep 0.2; done
        fuzz_target "$target" "$seconds" >"$build/logs/$target.log" 2>&1 &
        runs[$target]=$!
    done
    for target in "${targets[@]}"; do
        log=$build/logs/$target.log
        check_that "$target" ended_well "${runs[$target]}" "$log"
        echo "  $target: $(awk '/number_of_executed_units/ { print $2 }' "$log") runs in $seconds s"
    done
}

stage_kept() {
    local who=()
    [ "$(id -u)" -eq 0 ] || who=(--as-user)
    check_that "docs/promises.md" python3 tools/check-promises.py --results "$results" "${who[@]}"
}

stage_coverage() {
    need_build coverage || return
    run_tests_in_memory coverage coverage --no-suite=house "${own_suites[@]/#/--no-suite=}"
    check_that "gcovr" gcovr --root . --filter src/ --filter twin/ "$build/coverage" \
        --txt "$build/coverage.txt" --print-summary
    tail -n 4 "$build/logs/check-coverage.log" | sed 's/^/  /'
}
