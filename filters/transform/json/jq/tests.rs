mod natives;

use super::*;

fn program(options: &str) -> Result<Arc<Program>, String> {
    let value = wiregate_sdk::value::read(&"options.yaml".into(), options).unwrap();
    let config = wiregate_sdk::value::decode(&value).unwrap();
    Program::new(config, "jq", |_| Ok(())).map_err(|invalid| invalid.to_string())
}

fn run(options: &str, text: &str) -> Result<String, Failure> {
    let program = program(options).unwrap();
    let args = program
        .args
        .iter()
        .map(|arg| arg.constant().unwrap().to_owned());
    let text = program.run(text.as_bytes(), args.collect())?;
    Ok(String::from_utf8(text).unwrap())
}

fn made(source: &str, text: &str) -> String {
    // However busy the machine is.
    let source = serde_json::to_string(source).unwrap();
    let options = format!("{{ program: {source}, time: 10s }}");
    run(&options, text).unwrap_or_else(|why| panic!("{source}: {why:?}"))
}

/// Programs run on a thread with as much stack as those of the gateway.
fn ends(options: &str, text: &str) -> Failure {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(2 << 20);
        let run = || run(options, text).unwrap_err();
        thread.spawn_scoped(scope, run).unwrap().join().unwrap()
    })
}

/// A program with these limits ends on its document because it uses them up, and by then.
fn is_exhausted(source: &str, limits: &str, document: &str, by: Duration) {
    let program = serde_json::to_string(source).unwrap();
    let started = std::time::Instant::now();
    let failure = ends(&format!("{{ program: {program}, {limits} }}"), document);
    assert!(
        matches!(failure, Failure::Exhausted(_)),
        "{source}: {failure:?}"
    );
    assert!(started.elapsed() < by, "{source}");
}

#[test]
fn programs_do_what_they_do_elsewhere() {
    for (source, text, expected) in [
        (".", "{\"b\":1,\"a\":[1,2.50]}", "{\"b\":1,\"a\":[1,2.50]}"),
        (
            ".items | map(.id)",
            r#"{"items":[{"id":1},{"id":"x"}]}"#,
            r#"[1,"x"]"#,
        ),
        (".a *= 3 | .b = .a * 2", r#"{"a":2}"#, r#"{"a":6,"b":12}"#),
        (".a * \"ab\"", r#"{"a":2}"#, r#""abab""#),
        ("del(.a) | .c += 1", r#"{"a":1,"c":1}"#, r#"{"c":2}"#),
        ("[.[] as $x | .[] as $y | $x * $y]", "[1,2]", "[1,2,2,4]"),
        ("reduce .[] as $x (0; . + $x)", "[1,2,3]", "6"),
        (
            "[foreach .[] as $x (0; . + $x; [., $x])]",
            "[1,2]",
            "[[1,1],[3,2]]",
        ),
        (
            "walk(if type == \"number\" then . + 1 else . end)",
            r#"{"a":[1,{"b":2}]}"#,
            r#"{"a":[2,{"b":3}]}"#,
        ),
        (
            "with_entries(.key |= ascii_upcase)",
            r#"{"a":1}"#,
            r#"{"A":1}"#,
        ),
        ("[paths]", r#"{"a":[1]}"#, r#"[["a"],["a",0]]"#),
        ("[.. | numbers]", r#"{"a":[1,{"b":2}]}"#, "[1,2]"),
        ("[range(3), range(0;6;2)] | add", "0", "9"),
        (
            "\"\\(.a)-\\(.b) \\(.c)\"",
            r#"{"a":"x","b":[1],"c":null}"#,
            r#""x-[1] null""#,
        ),
        ("@base64", "\"a\"", "\"YQ==\""),
        ("@json", "[1]", "\"[1]\""),
        ("fromjson", r#""{\"a\":1}""#, r#"{"a":1}"#),
        ("tonumber", "\"12\"", "12"),
        ("try error(\"x\") catch .", "1", "\"x\""),
        ("[limit(3; repeat(1))]", "1", "[1,1,1]"),
        ("until(. > 2000; . + 1)", "0", "2001"),
        ("def f: if . > 5 then . else . + 1 | f end; f", "0", "6"),
        ("first(.[] | select(. > 1))", "[1,2,3]", "2"),
        (
            "label $out | .[] | if . > 1 then ., break $out else empty end",
            "[1,2,3]",
            "2",
        ),
        ("gsub(\"a\"; \"b\")", "\"aXa\"", "\"bXb\""),
        ("to_entries", r#"{"a":1}"#, r#"[{"key":"a","value":1}]"#),
        (".[\"a\"] // \"none\"", "{}", "\"none\""),
        (
            "group_by(.k) | map(length)",
            r#"[{"k":1},{"k":2},{"k":1}]"#,
            "[2,1]",
        ),
        ("map_values(. + 1)", "[1,2]", "[2,3]"),
        ("[.a[]?]", r#"{"a":1}"#, "[]"),
        (".a[1:]", r#"{"a":[1,2,3]}"#, "[2,3]"),
        ("path(.a[0].b)", "null", r#"["a",0,"b"]"#),
        ("[splits(\", *\")]", "\"a, b,c\"", r#"["a","b","c"]"#),
    ] {
        assert_eq!(made(source, text), expected, "{source}");
    }
}

#[test]
fn numbers_keep_their_digits() {
    for number in [
        "12345678901234567890",
        "1e400",
        "0.10",
        "1.0",
        "-3E-7",
        "123456789012345678901234567890.5",
    ] {
        assert_eq!(made(".a", &format!("{{\"a\":{number}}}")), number);
    }
}

#[test]
fn arguments_are_variables() {
    let options =
        "{ program: '{t: $tenant, u: $user, v: (def f: $user; f)}', args: { tenant: x, user: y } }";
    assert_eq!(
        run(options, "null").unwrap(),
        r#"{"t":"x","u":"y","v":"y"}"#
    );
}

#[test]
fn only_one_value_that_json_can_write_is_a_document() {
    for source in [
        "empty",
        "1, 2",
        "nan",
        "infinite",
        "{(1): 2}",
        "error",
        ".a.b.c",
        "error(\"x\")",
    ] {
        let options = serde_json::to_string(source).unwrap();
        let failure = run(&options, "[]").unwrap_err();
        assert!(
            matches!(failure, Failure::Failed(_)),
            "{source}: {failure:?}"
        );
    }
}

#[test]
fn what_never_ends_is_ended() {
    for source in [
        "def f: f; f",
        "def f: f, f; f",
        "repeat(empty)",
        "until(false; .)",
        "last(range(1e18))",
        "[range(1e18)] | length",
        "[.[] as $a | .[] as $b | .[] as $c | .[] as $d | .[] as $e | empty]",
        "reduce repeat(1) as $x (0; . + 1)",
        "foreach repeat(1) as $x (0; . + 1; empty)",
        "try (def f: f; f) catch 1",
        "[limit(1; repeat(1) | select(. > 1))]",
        "first(repeat(1) | select(. > 1))",
        "[recurse(.)] | length",
        "isempty(repeat(empty))",
        "path(repeat(empty))",
        "(repeat(empty)) |= 1",
    ] {
        const MANY: &str = "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40]";
        is_exhausted(source, "time: 30ms", MANY, Duration::from_secs(5));
    }
}

#[test]
fn what_would_use_up_the_stack_is_ended() {
    for source in [
        "def f: 1 + f; f",
        "def f: [f]; f",
        "def f: {a: f}; f",
        "reduce range(1000000) as $i (0; [.])",
        "reduce range(1000000) as $i (0; {a: ., b: 1})",
        "reduce range(1000000) as $i (0; [1, ., 1])",
        "def f($x): f([$x]); f(1)",
        "reduce range(1000000) as $i ({}; .a = .)",
        "reduce range(1000000) as $i ({}; . + {a: .})",
        "last(recurse([.]))",
        "until(false; [.])",
    ] {
        is_exhausted(source, "time: 2s", "null", Duration::from_secs(20));
    }
    let failure = ends("'\"[\" * 200000 | fromjson'", "null");
    assert!(matches!(failure, Failure::Failed(_)), "{failure:?}");
}

#[test]
fn what_would_use_up_memory_is_ended() {
    for source in [
        "\"x\" * 1000000000000",
        "1000000000000 * \"x\"",
        ".a = \"x\" | .a *= 1000000000000",
        "reduce range(60) as $i (\"x\"; . + .)",
        "reduce range(60) as $i ([1]; . + .)",
        "reduce range(60) as $i ([1]; [., .]) | tojson",
        "reduce range(60) as $i ([1]; [., .]) | \"\\(.)\"",
        "reduce range(60) as $i ([1]; [., .]) | tostring",
        "reduce range(60) as $i ([1]; [., .])",
        "[range(2000000)] | map(\"xxxxxxxxxxxxxxxxxxxxx\")",
    ] {
        is_exhausted(
            source,
            "time: 5s, output: 1MiB",
            "{}",
            Duration::from_secs(50),
        );
    }
}

#[test]
fn says_what_is_wrong_with_a_program() {
    for (source, error) in [
        (".a |", "jq: expected term, found the end of the program"),
        (".a | foo", "jq: unknown filter `foo`"),
        ("$x", "jq: unknown variable `$x`"),
        (
            "(.a",
            "jq: expected closing parenthesis, found the end of the program",
        ),
        (
            "import \"a\" as a; .",
            "jq: expected a program without `import` and `include`",
        ),
        ("env", "jq: unknown filter `env`"),
        ("halt", "jq: unknown filter `halt`"),
        ("input", "jq: unknown filter `input`"),
        ("debug", "jq: unknown filter `debug`"),
    ] {
        let options = serde_json::to_string(source).unwrap();
        assert_eq!(program(&options).err().as_deref(), Some(error), "{source}");
    }
    assert_eq!(
        program("{ program: ., args: { a-b: x } }").err().unwrap(),
        "jq.args.a-b: expected a name such as `tenant`, found `a-b`"
    );
    assert_eq!(
        program("{ program: ., time: 11s }").err().unwrap(),
        "jq.time: expected at most 10s, found `11s`"
    );
    for source in ["def f(x): f([x]); f(1)", "def f(x): def g: f(x); g; f(1)"] {
        let options = serde_json::to_string(source).unwrap();
        let error = "jq: expected no recursion of `f`, which takes a filter: define another one \
                     within it that calls itself";
        assert_eq!(program(&options).err().as_deref(), Some(error), "{source}");
    }
    let long = format!("'.{}'", " | .".repeat(1000));
    assert!(
        program(&long)
            .err()
            .unwrap()
            .contains("at most 256 operators")
    );
    let deep = format!("'{}.{}'", "(".repeat(100), ")".repeat(100));
    assert!(program(&deep).err().unwrap().contains("at most 64 levels"));
}
