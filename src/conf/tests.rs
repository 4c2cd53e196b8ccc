//! Whole configurations: read, checked and applied.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// What the setters of the tests' own small language have seen.
type Seen = Vec<String>;

const INNER: Contexts = Contexts::EVENTS;

const fn row(name: &'static str, contexts: Contexts, arity: Arity, block: Option<Contexts>, repeat: bool) -> Row {
    Row { name, contexts, arity, block, repeat, syntax: "", default: "-", help: "" }
}

const fn value(name: &'static str, set: fn(&mut Seen, &mut Call<'_>) -> Result<()>) -> Directive<Seen> {
    Directive { row: row(name, Contexts::MAIN, Arity::Exactly(1), None, false), set }
}

static MAIN: [Directive<Seen>; 13] = [
    Directive { row: row("say", Contexts::MAIN.or(INNER), Arity::AtLeast(1), None, true), set: say },
    Directive { row: row("few", Contexts::MAIN, Arity::Between(1, 2), None, true), set: say },
    Directive { row: row("block", Contexts::MAIN, Arity::Exactly(0), Some(INNER), true), set: block },
    Directive { row: row("once", Contexts::MAIN, Arity::Exactly(0), Some(INNER), false), set: block },
    Directive { row: row("deaf", Contexts::MAIN, Arity::Exactly(0), Some(INNER), true), set: |_, _| Ok(()) },
    Directive { row: row("two", Contexts::MAIN, Arity::Exactly(1), None, true), set: say },
    value("flag", |seen, call| put(seen, call.flag()?)),
    value("size", |seen, call| put(seen, call.size()?)),
    value("time", |seen, call| put(seen, call.time()?)),
    value("seconds", |seen, call| put(seen, call.seconds()?)),
    value("number", |seen, call| put(seen, call.number()?)),
    value("choice", |seen, call| put(seen, call.choice(1, &[("one", 1), ("two", 2)])?)),
    value("paths", |seen, call| {
        call.warn("mind the path");
        put(seen, (call.path(1), call.conf_path(1)))
    }),
];

static BLOCK: [Directive<Seen>; 3] = [
    Directive { row: row("say", Contexts::MAIN.or(INNER), Arity::AtLeast(1), None, true), set: say },
    Directive { row: row("two", INNER, Arity::Exactly(0), Some(Contexts::TCP), true), set: |_, _| Ok(()) },
    Directive { row: row("refuse", INNER, Arity::Exactly(0), None, true), set: |_, call| Err(call.invalid()) },
];

fn put(seen: &mut Seen, value: impl std::fmt::Debug) -> Result<()> {
    seen.push(format!("{value:?}"));
    Ok(())
}

fn say(seen: &mut Seen, call: &mut Call<'_>) -> Result<()> {
    seen.push(call.texts()?.join(" "));
    Ok(())
}

fn block(seen: &mut Seen, call: &mut Call<'_>) -> Result<()> {
    let before = seen.len();
    call.apply(&BLOCK, seen)?;
    if seen.len() == before {
        return Err(Error::at(&call.node.end, "nothing is said"));
    }
    Ok(())
}

/// A folder with a configuration in it, `conf/main`, and the load of it.
struct Case {
    dir: TempDir,
    loader: Loader,
}

impl Case {
    fn new(main: impl AsRef<[u8]>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("conf")).unwrap();
        let loader = Loader::new(dir.path(), &dir.path().join("conf/main"));
        Case { dir, loader }.with("main", main)
    }

    fn with(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        let path = self.loader.conf_dir.join(OsStr::from_bytes(name.as_bytes()));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// What was seen, and the fault with the folder's path taken out.
    fn load_with(&mut self, command_line: &str) -> (Seen, std::result::Result<(), String>) {
        let rows: Vec<&Row> = MAIN.iter().chain(&BLOCK).map(|directive| &directive.row).collect();
        let mut seen = Seen::new();
        let main = self.loader.conf_dir.join("main");
        let result = self.loader.load(&main, command_line, &rows, &MAIN, &mut seen);
        (seen, result.map_err(|error| error.to_string().replace(&format!("{}/", self.loader.conf_dir.display()), "")))
    }

    fn seen(&mut self) -> Seen {
        let (seen, result) = self.load_with("");
        assert_eq!(result, Ok(()));
        seen
    }

    fn fault(&mut self) -> String {
        self.load_with("").1.unwrap_err()
    }

    fn files(&self) -> Vec<&str> {
        let names = self.loader.files.iter().map(|(path, _)| path.strip_prefix(&self.loader.conf_dir).unwrap());
        names.map(|name| name.to_str().unwrap()).collect()
    }
}

fn seen(text: &str) -> Seen {
    Case::new(text).seen()
}

fn fault(text: &str) -> String {
    Case::new(text).fault()
}

fn nodes(text: &[u8]) -> Vec<Node> {
    let mut case = Case::new(text);
    let mut nodes = Vec::new();
    let main = case.loader.conf_dir.join("main");
    let _ = tree::read_file(&mut case.loader, &main, &mut nodes);
    nodes
}

#[test]
fn directives_and_blocks() {
    assert_eq!(seen("say a 'b c';\nblock { say d; say e; } say f;"), ["a b c", "d", "e", "f"]);
    assert_eq!(seen(""), Seen::new());
    assert_eq!(seen("say a;\r\nblock {\r\n\tsay b;\r\n}"), ["a", "b"]);
}

#[test]
fn places_of_directives() {
    let nodes = nodes(b"say\na\n;\nblock\n{ say b;\n\n}");
    let lines = |node: &Node| (node.place.line, node.end.line);
    assert_eq!(lines(&nodes[0]), (3, 3));
    assert_eq!(lines(&nodes[1]), (5, 7));
    assert_eq!(lines(&nodes[1].block.as_ref().unwrap()[0]), (5, 5));
    assert!(nodes[0].place.file.ends_with("/conf/main"));
}

#[test]
fn syntax_faults() {
    for (text, message) in [
        ("say a", r#"unexpected end of file, expecting ";" or "}" in main:1"#),
        ("say a\n", r#"unexpected end of file, expecting ";" or "}" in main:2"#),
        ("block {\n", r#"unexpected end of file, expecting "}" in main:2"#),
        ("block { say a;\n", r#"unexpected end of file, expecting "}" in main:2"#),
        ("block { say 'a;\n}", r#"unexpected end of file, expecting ";" or "}" in main:2"#),
        ("say a;\n}", r#"unexpected "}" in main:2"#),
        ("block { say a }", r#"unexpected "}" in main:1"#),
        ("block { say a; } ;", r#"unexpected ";" in main:1"#),
        ("block { {", r#"unexpected "{" in main:1"#),
        ("say 'a'b;", r#"unexpected "b" in main:1"#),
    ] {
        assert_eq!(fault(text), message, "{text}");
    }
}

#[test]
fn check_faults() {
    for (text, message) in [
        ("say a;\nnope b;", r#"unknown directive "nope" in main:2"#),
        ("\"\";", r#"unknown directive "" in main:1"#),
        ("refuse;", r#""refuse" directive is not allowed here in main:1"#),
        ("block { say a; flag on; }", r#""flag" directive is not allowed here in main:1"#),
        ("say a {", r#"directive "say" is not terminated by ";" in main:1"#),
        ("block;", r#"directive "block" has no opening "{" in main:1"#),
        ("block a;", r#"directive "block" has no opening "{" in main:1"#),
        ("say\n;", r#"invalid number of arguments in "say" directive in main:2"#),
        ("few;", r#"invalid number of arguments in "few" directive in main:1"#),
        ("few a b;few a b c;", r#"invalid number of arguments in "few" directive in main:1"#),
        ("block a {", r#"invalid number of arguments in "block" directive in main:1"#),
        ("flag on;\n\nflag on;", r#""flag" directive is duplicate in main:3"#),
        ("flag on;\nflag yes;", r#""flag" directive is duplicate in main:2"#),
        ("once { say a; }\nonce {\n}", r#""once" directive is duplicate in main:2"#),
    ] {
        assert_eq!(fault(text), message, "{text}");
    }
}

#[test]
fn one_name_may_mean_different_things() {
    assert_eq!(seen("two a; block { say b; two {} }"), ["a", "b"]);
    assert_eq!(fault("two {}"), r#"directive "two" is not terminated by ";" in main:1"#);
    assert_eq!(fault("block { two; }"), r#"directive "two" has no opening "{" in main:1"#);
    assert_eq!(fault("block { say b; two { say c; } }"), r#""say" directive is not allowed here in main:1"#);
}

#[test]
fn slashes_taken_for_comments() {
    let hint = r##" ("//" does not begin a comment, use "#")"##;
    for (text, message) in [
        ("// words\nsay a;", r#"unknown directive "//" in main:2"#),
        ("block { //words\nsay a; }", r#"unknown directive "//words" in main:2"#),
        ("few // on or off\na;", r#"invalid number of arguments in "few" directive in main:2"#),
        ("block // words\n{ say a; }", r#"invalid number of arguments in "block" directive in main:2"#),
        ("block { say a; } // words", r#"unexpected end of file, expecting ";" or "}" in main:1"#),
        ("block { say a; // words\n}", r#"unexpected "}" in main:2"#),
        ("few a // words\nblock { say a; }", r#"directive "few" is not terminated by ";" in main:2"#),
    ] {
        assert_eq!(fault(text), format!("{message}{hint}"), "{text}");
    }
    assert_eq!(fault("few 1 2 '//';"), r#"invalid number of arguments in "few" directive in main:1"#);
    assert_eq!(fault("few 1 2 http://a;"), r#"invalid number of arguments in "few" directive in main:1"#);
    assert_eq!(fault("nope '//';"), r#"unknown directive "nope" in main:1"#);
}

#[test]
fn the_first_fault_of_the_text_is_reported() {
    // Setter before check, check before syntax, and the reverse of each.
    assert_eq!(fault("flag yes; nope;").split(" in ").next(), Some(r#"invalid value "yes""#));
    assert_eq!(fault("nope; flag yes;"), r#"unknown directive "nope" in main:1"#);
    assert_eq!(fault("nope; }"), r#"unknown directive "nope" in main:1"#);
    assert_eq!(fault("block { nope { say a"), r#"unknown directive "nope" in main:1"#);
    assert_eq!(fault("block { refuse; \n nope;"), r#""refuse" directive invalid value in main:1"#);
    assert_eq!(fault("block { refuse; \n say"), r#""refuse" directive invalid value in main:1"#);
    assert_eq!(fault("} nope;"), r#"unexpected "}" in main:1"#);
    // A block that is not read to its end is not judged as a whole.
    assert_eq!(fault("block {\n}"), "nothing is said in main:2");
    assert_eq!(fault("block {\n say"), r#"unexpected end of file, expecting ";" or "}" in main:2"#);
    assert_eq!(fault("block {\n nope; }"), r#"unknown directive "nope" in main:2"#);
    // A setter that does not look into its block hides no fault.
    assert_eq!(fault("deaf { say a; nope; }"), r#"unknown directive "nope" in main:1"#);
    assert_eq!(fault("deaf { say a"), r#"unexpected end of file, expecting ";" or "}" in main:1"#);
}

#[test]
fn values_of_directives() {
    assert_eq!(
        seen("flag on; size 1k; time 1s500ms; seconds 1M; number 7; choice TWO;"),
        ["true", "1024", "1.5s", "2592000s", "7", "2"]
    );
    assert_eq!(seen("flag Off;"), ["false"]);
    for (text, message) in [
        ("flag yes;", r#"invalid value "yes" in "flag" directive, it must be "on" or "off" in main:1"#),
        ("size 1x;", r#""size" directive invalid value in main:1"#),
        ("time '';", r#""time" directive invalid value in main:1"#),
        ("seconds 1ms;", r#""seconds" directive invalid value in main:1"#),
        ("number a;", r#""number" directive invalid number in main:1"#),
        ("choice three;", r#"invalid value "three" in main:1"#),
    ] {
        assert_eq!(fault(text), message, "{text}");
    }
    for name in ["say", "size", "time"] {
        let text = [name.as_bytes(), b" \xff;"].concat();
        assert_eq!(Case::new(text).fault(), format!(r#""{name}" directive invalid value in main:1"#));
    }
}

#[test]
fn paths_and_warnings() {
    let mut case = Case::new("\npaths a/b;");
    let expected = format!("{:?}", (case.dir.path().join("a/b"), case.dir.path().join("conf/a/b")));
    assert_eq!(case.seen(), [expected]);
    let [warning] = &case.loader.warnings[..] else { panic!("one warning") };
    assert_eq!((warning.message.as_str(), warning.place.as_ref().unwrap().line), ("mind the path", 2));
    assert_eq!(seen("paths /a;"), [format!("{:?}", (PathBuf::from("/a"), PathBuf::from("/a")))]);
}

#[test]
fn command_line_directives() {
    let mut case = Case::new("say b;");
    assert_eq!(case.load_with("say a; say 'x\ny';"), (vec!["a".into(), "x\ny".into(), "b".into()], Ok(())));
    for (text, message) in [
        ("say a", r#"unexpected end of parameter, expecting ";" in command line"#),
        ("block {}", "block directives are not supported in -g option in command line"),
        ("say a; }", r#"unexpected "}" in command line"#),
        ("nope;", r#"unknown directive "nope" in command line"#),
        ("flag x;", r#"invalid value "x" in "flag" directive, it must be "on" or "off" in command line"#),
        ("include nope;", r#"open() "nope" failed (2: No such file or directory) in command line"#),
    ] {
        assert_eq!(case.load_with(text).1, Err(message.into()), "{text}");
    }
    let mut case = Case::new("\nflag on;").with("extra", "say c;");
    assert_eq!(case.load_with("flag off;").1, Err(r#""flag" directive is duplicate in main:2"#.into()));
    assert_eq!(case.load_with("include extra;").0, ["c", "true"]);
}

#[test]
fn files_that_cannot_be_read() {
    let mut case = Case::new("");
    fs::remove_file(case.loader.conf_dir.join("main")).unwrap();
    assert_eq!(case.fault(), r#"open() "main" failed (2: No such file or directory)"#);
    fs::create_dir(case.loader.conf_dir.join("main")).unwrap();
    assert_eq!(case.fault(), r#"pread() "main" failed (21: Is a directory)"#);
    let mut case = Case::new("say a;\ninclude folder;").with("folder/file", "");
    assert_eq!(case.fault(), r#"pread() "folder" failed (21: Is a directory)"#);
    assert_eq!(fault("include 'a\\0\0b';").split(" failed").next(), Some("open() \"a\\0\0b\""));
}

#[test]
fn includes() {
    let mut case = Case::new("include a;\nblock { include sub/b; }\nsay last;")
        .with("a", "\u{feff}say a;\ninclude sub/c;")
        .with("sub/b", "say b; include sub/c; # no newline")
        .with("sub/c", "say c;");
    assert_eq!(case.seen(), ["a", "c", "b", "c", "last"]);
    assert_eq!(case.files(), ["main", "a", "sub/c", "sub/b"]);
    assert_eq!(case.loader.files[2].1, b"say c;");
}

#[test]
fn included_files_stand_for_themselves() {
    let include = "block {\nsay a;\ninclude a; }";
    for (text, message) in [
        ("say b;\n}", r#"unexpected "}" in a:2"#),
        ("\nblock {", r#"unexpected end of file, expecting "}" in a:2"#),
        ("say b", r#"unexpected end of file, expecting ";" or "}" in a:1"#),
        ("\nflag on;", r#""flag" directive is not allowed here in a:2"#),
    ] {
        // A block in the wrong place is found before its end is missed.
        let message = if text.contains('{') { r#""block" directive is not allowed here in a:2"# } else { message };
        let mut case = Case::new(include).with("a", text);
        assert_eq!(case.fault(), message, "{text}");
        assert_eq!(case.files(), ["main", "a"]);
    }
    let mut case = Case::new("include a; }").with("a", "\nblock {");
    assert_eq!(case.fault(), r#"unexpected end of file, expecting "}" in a:2"#);
    let mut case = Case::new("flag on;\ninclude a;").with("a", "\n\nflag on;");
    assert_eq!(case.fault(), r#""flag" directive is duplicate in a:3"#);
}

#[test]
fn include_faults() {
    for (text, message) in [
        ("say a;\ninclude nope;", r#"open() "nope" failed (2: No such file or directory) in main:2"#),
        ("block { include sub/nope; }", r#"open() "sub/nope" failed (2: No such file or directory) in main:1"#),
        ("include;", r#"invalid number of arguments in "include" directive in main:1"#),
        ("include a b;", r#"invalid number of arguments in "include" directive in main:1"#),
        ("include a {}", r#"directive "include" is not terminated by ";" in main:1"#),
        ("nope; include nope;", r#"unknown directive "nope" in main:1"#),
        ("include main;", "includes are nested deeper than 64 files in main:1"),
    ] {
        assert_eq!(fault(text), message, "{text}");
    }
    let hinted = fault("include a // b;");
    assert!(hinted.starts_with(r#"invalid number of arguments in "include" directive in main:1 ("//" does"#));
}

#[test]
fn include_patterns() {
    let case = |pattern: &str| {
        let mut case = Case::new(format!("include '{pattern}';"))
            .with("d/b.conf", "say b;")
            .with("d/a.conf", "say a;")
            .with("d/B.conf", "say B;")
            .with("d/.hidden.conf", "say hidden;")
            .with("d/a.txt", "say text;")
            .with("d-e/c.conf", "say c;")
            .with("x[y", "say bracket;");
        case.seen()
    };
    assert_eq!(case("d/*.conf"), ["B", "a", "b"]);
    assert_eq!(case("d/**.conf"), ["B", "a", "b"]);
    assert_eq!(case("d/?.conf"), ["B", "a", "b"]);
    assert_eq!(case("d/[ab].conf"), ["a", "b"]);
    assert_eq!(case("d/[^a].conf"), ["B", "b"]);
    assert_eq!(case("d/[!a].conf"), ["B", "b"]);
    assert_eq!(case("d/.*.conf"), ["hidden"]);
    assert_eq!(case("d*/*.conf"), ["c", "B", "a", "b"]);
    assert_eq!(case("../conf/d/a.*"), ["a", "text"]);
    assert_eq!(case("x[y"), ["bracket"]);
    assert_eq!(case("d/*.none"), Seen::new());
    assert_eq!(case("none/*.conf"), Seen::new());
    assert_eq!(case("z[y"), Seen::new());
    // A name that is not UTF-8 beside the others does no harm.
    let mut odd = Case::new("include d/*;").with("d/a", "say a;");
    fs::write(odd.loader.conf_dir.join("d").join(OsStr::from_bytes(b"\xff")), "say odd;").unwrap();
    assert_eq!(odd.seen(), ["a"]);
    let mut faulty = Case::new("include d/*;").with("d/1", "say a;").with("d/2", "\nnope;").with("d/3", "say c;");
    assert_eq!(faulty.fault(), r#"unknown directive "nope" in d/2:2"#);
}

#[test]
fn deep_nesting_is_refused() {
    let deep = "deaf {".repeat(100_000);
    let nodes = nodes(deep.as_bytes());
    let message = "blocks are nested deeper than 128 levels";
    assert_eq!(Node::fault_in(&nodes).unwrap().message, message);
    // Through includes as well: a file that includes itself inside of a block.
    let mut case = Case::new("deaf { deaf { deaf { include main; } } }");
    let mut nodes = Vec::new();
    let main = case.loader.conf_dir.join("main");
    let _ = tree::read_file(&mut case.loader, &main, &mut nodes);
    assert_eq!(Node::fault_in(&nodes).unwrap().message, message);
}

#[test]
fn large_configurations_are_read_fast() {
    let text = "block { say some words 'and a quoted one'; }\nsay \"more\\twords\" $here; # comment\n".repeat(10_000);
    let start = Instant::now();
    assert_eq!(seen(&text).len(), 20_000);
    let limit = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 1 });
    assert!(start.elapsed() < limit, "{:?}", start.elapsed());
}

#[test]
fn a_directive_without_setter_is_told() {
    let rows: Vec<&Row> = MAIN.iter().map(|directive| &directive.row).collect();
    let case = Case::new("few a;");
    let Case { mut loader, .. } = case;
    let main = loader.conf_dir.join("main");
    let error = loader.load(&main, "", &rows, &MAIN[..1], &mut Seen::new()).unwrap_err();
    assert_eq!(error.message, r#"directive "few" has no setter"#);
}

/// The bytes of a word, with what has a meaning in the language more likely than the rest.
fn word_bytes() -> impl Strategy<Value = Vec<u8>> {
    let special = prop::sample::select(b" \t\r\n;{}#\"'\\$()/tn".to_vec());
    prop::collection::vec(prop_oneof![b'a'..=b'z', special, any::<u8>()], 0..12)
}

/// A tree as words and blocks only.
#[derive(Clone, Debug, PartialEq)]
struct Plain {
    words: Vec<Vec<u8>>,
    block: Option<Vec<Plain>>,
}

fn plain_tree() -> impl Strategy<Value = Vec<Plain>> {
    let words = || {
        prop::collection::vec(word_bytes(), 1..4).prop_filter("an include is not kept", |words| words[0] != b"include")
    };
    let leaf = words().prop_map(|words| Plain { words, block: None });
    let node = leaf.prop_recursive(4, 32, 4, move |inner| {
        (words(), prop::collection::vec(inner, 0..4)).prop_map(|(words, block)| Plain { words, block: Some(block) })
    });
    prop::collection::vec(node, 0..5)
}

fn print_word(word: &[u8], quote: Option<u8>, out: &mut Vec<u8>) {
    let bare = !word.is_empty() && word.iter().all(|byte| !b" \t\r\n;{}#\"'\\$".contains(byte));
    match quote {
        None if bare => out.extend(word),
        _ => {
            let quote = quote.unwrap_or(b'"');
            out.push(quote);
            for byte in word {
                if *byte == b'\\' || *byte == quote {
                    out.push(b'\\');
                }
                out.push(*byte);
            }
            out.push(quote);
        }
    }
}

/// A comment is ended by the line break before the next word or brace.
fn print(nodes: &[Plain], quote: Option<u8>, out: &mut Vec<u8>) {
    for node in nodes {
        for word in &node.words {
            out.extend(b"\n ");
            print_word(word, quote, out);
        }
        match &node.block {
            None => out.push(b';'),
            Some(block) => {
                out.extend(b" { # comment }");
                print(block, quote, out);
                out.extend(b"\r\n}");
            }
        }
    }
}

fn plain(nodes: &[Node]) -> Vec<Plain> {
    let words = |node: &Node| node.words.iter().map(|word| word.bytes.clone()).collect();
    nodes.iter().map(|node| Plain { words: words(node), block: node.block.as_deref().map(plain) }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn printed_trees_read_back(tree in plain_tree(), quote in prop::sample::select(vec![None, Some(b'"'), Some(b'\'')])) {
        let mut text = Vec::new();
        print(&tree, quote, &mut text);
        let nodes = nodes(&text);
        prop_assert_eq!(Node::fault_in(&nodes), None);
        prop_assert_eq!(plain(&nodes), tree);
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        text in prop::collection::vec(prop_oneof![prop::sample::select(b" \n;{}#\"'\\$a/".to_vec()), any::<u8>()], 0..300)
    ) {
        let _ = Case::new(&text).load_with("");
    }
}
