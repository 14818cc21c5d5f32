//! From the text of a program to its running form.

use jaq_core::load::lex::Lexer;
use jaq_core::load::parse::{Def, Parser, Term};
use jaq_core::load::{Arena, Error, File, Loader};
use jaq_core::{Compiler, Filter, defs, funs};

use super::natives::{WITHHELD, natives};
use super::{Kind, instrument, recursion};

/// The name of a program among the definitions; no program can name it.
const MAIN: &str = "the_program";
/// How long a program may be, in bytes.
const LONGEST: usize = 64 * 1024;
/// How deep it may be nested.
const DEEPEST: usize = 64;
/// How many operators it may have: they nest without brackets.
const MOST_OPERATORS: usize = 256;
/// Definitions that stand on what is withheld.
const WITHOUT: [&str; 4] = ["halt", "halt_error", "debug", "stderr"];

/// Compiles a program with variables of these names.
///
/// # Errors
/// What is wrong with it, in one sentence.
pub(super) fn compile(program: &str, names: &[String]) -> Result<Filter<Kind>, String> {
    if program.len() > LONGEST {
        return Err(format!(
            "expected at most {LONGEST} bytes, found {}",
            program.len()
        ));
    }
    if nesting(program) > DEEPEST {
        return Err(format!(
            "expected at most {DEEPEST} levels of brackets, found more"
        ));
    }
    let operators = program
        .bytes()
        .filter(|byte| b"|+-*/".contains(byte))
        .count();
    if operators > MOST_OPERATORS {
        return Err(format!(
            "expected at most {MOST_OPERATORS} operators, found {operators}"
        ));
    }
    let body = parse(program)?;
    if let Some(name) = recursion::of_filters(&body) {
        return Err(format!(
            "expected no recursion of `{name}`, which takes a filter: define another one within \
             it that calls itself"
        ));
    }
    let main = Def {
        name: MAIN,
        args: Vec::new(),
        body,
    };
    let known = defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let known = known.filter(|def| !WITHOUT.contains(&def.name));
    let loader = Loader::new(known.map(for_now).chain([main]).map(instrument::definition));
    let arena = Arena::default();
    let file = File {
        code: MAIN,
        path: (),
    };
    let modules = loader
        .load(&arena, file)
        .map_err(|_| "expected a program".to_owned())?;
    let variables: Vec<_> = names.iter().map(|name| format!("${name}")).collect();
    let funs = funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    let funs = funs.filter(|(name, ..)| !WITHHELD.contains(name));
    let compiled = Compiler::default()
        .with_funs(funs.chain(natives()))
        .with_global_vars(variables.iter().map(String::as_str))
        .compile(modules);
    compiled.map_err(|errors| {
        let unknown = errors.into_iter().flat_map(|(_, errors)| errors).next();
        unknown.map_or_else(
            || "expected a program".to_owned(),
            |(name, kind)| format!("unknown {} `{name}`", kind.as_str()),
        )
    })
}

/// A program does not live as long as what is known to all.
fn for_now<'s>(def: Def<&'static str>) -> Def<&'s str> {
    def
}

fn parse(program: &str) -> Result<Term<&str>, String> {
    // The loader says what is wrong; what imports and includes is wrong as well.
    let arena = Arena::default();
    let file = File {
        code: program,
        path: (),
    };
    if let Err(errors) = Loader::new([]).load(&arena, file) {
        let error = errors.into_iter().next().map(|(_, error)| error);
        return Err(error.map_or_else(|| "expected a program".to_owned(), |e| say(e, program)));
    }
    let tokens = Lexer::new(program).lex();
    let tokens = tokens.map_err(|_| "expected a program".to_owned())?;
    let term = Parser::new(&tokens).parse(|parser| parser.term());
    term.map_err(|_| "expected a program, without `import`, `include` and `module`".to_owned())
}

fn say(error: Error<&str>, program: &str) -> String {
    let (expected, found) = match error {
        Error::Io(_) => return "expected a program without `import` and `include`".to_owned(),
        Error::Lex(errors) => match errors.into_iter().next() {
            Some((expected, found)) => (expected.as_str().to_owned(), found),
            None => return "expected a program".to_owned(),
        },
        Error::Parse(errors) => match errors.into_iter().next() {
            Some((expected, found)) => (expected.as_str().to_owned(), found),
            None => return "expected a program".to_owned(),
        },
    };
    let at = found.as_ptr().addr().wrapping_sub(program.as_ptr().addr());
    let found: String = found.chars().take(20).collect();
    match found.is_empty() {
        true => format!("expected {expected}, found the end of the program"),
        false => format!("expected {expected} at byte {at} of the program, found `{found}`"),
    }
}

/// How deep brackets stand in each other, those in texts included.
fn nesting(program: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in program.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}
