//! Our filter parser against two others: the crate `scim_v2`, and `scim2-filter-parser` from `PyPI`.
//!
//! A generated corpus and the examples of RFC 7644 go through all of them. Where the trees differ, or one refuses what
//! another takes, the difference has to be one that is listed here with the line of the RFC that decides; a listed
//! difference that no longer occurs fails, too.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Stdio;

use openai_scim_bridge::scim::filter::{CompareOp, Filter, Literal};
use openai_scim_bridge::scim::path::AttributePath;
use openai_scim_bridge::scim::schema::limits::{MAX_FILTER_DEPTH, MAX_FILTER_TERMS};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngSeed, TestRunner};
use scim_v2::filter as other;
use serde_json::{Value, json};

use crate::harness::python;
use crate::prop_filter;

/// Filters of each kind.
const GENERATED: usize = 2_000;

/// RFC 7644 figure 2, and what identity providers send.
const EXAMPLES: [&str; 32] = [
    r#"userName eq "bjensen""#,
    r#"name.familyName co "O'Malley""#,
    r#"userName sw "J""#,
    r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "J""#,
    "title pr",
    r#"meta.lastModified gt "2011-05-13T04:42:34Z""#,
    r#"meta.lastModified ge "2011-05-13T04:42:34Z""#,
    r#"title pr and userType eq "Employee""#,
    r#"title pr or userType eq "Intern""#,
    r#"schemas eq "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User""#,
    r#"userType eq "Employee" and (emails co "example.com" or emails.value co "example.org")"#,
    r#"userType ne "Employee" and not (emails co "example.com" or emails.value co "example.org")"#,
    r#"userType eq "Employee" and (emails.type eq "work")"#,
    r#"userType eq "Employee" and emails[type eq "work" and value co "@example.com"]"#,
    r#"emails[type eq "work" and value co "@example.com"] or ims[type eq "xmpp" and value co "@foo.com"]"#,
    "a pr or b pr and c pr",
    "a pr and b pr or c pr",
    "not(active eq true)",
    r#"emails[type eq "work"].value eq "a@b.example""#,
    "externalId eq jyoung",
    r#"active eq True and roles[primary eq "True"]"#,
    r#"id eq "1" and members.value eq "2""#,
    r#"members.$ref eq "x""#,
    "count gt 12 and size le -1.5e3",
    r#"displayName eq "\"quoted\" \\ \u00e4""#,
    "falseName pr",
    r#"eq eq "eq""#,
    r#"a[b pr] eq "x""#,
    "a[b[c pr]]",
    "a.b.c pr",
    r#"a eq "b"and c pr"#,
    "name .givenName pr",
];

/// What a parser is known to do otherwise, and what decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Difference {
    /// RFC 7644 §3.4.2.2, figure 1: `*1"not" "(" FILTER ")"` has no blank between the two. `scim_v2` needs one.
    NotWithoutBlank,
    /// Figure 1: `compValue` is a JSON value. We take words without quotes, as Entra ID sends them.
    BareWord,
    /// RFC 7644 §3.5.2, figure 7 has `valuePath [subAttr]`; figure 1 has not. We take it in filters, as Entra ID sends
    /// it.
    SubAttributeOfValuePath,
    /// RFC 7643 §2.4 has the sub-attribute `$ref`, and its §2.1 no `$` in names. We take `$`.
    Dollar,
    /// Figure 1 has `SP` around operators. We take any blanks, and none beside quotes and brackets.
    Blanks,
    /// RFC 5234 §2.3: literals of a grammar are in any case, so `True` is `true`. The others take lower case.
    CaseOfLiterals,
    /// RFC 7644 §3.4.2.2: "not" before "and" before "or". `scim2-filter-parser` has `and` and `or` bind alike.
    Precedence,
    /// Figure 1: a number is a JSON number. `scim2-filter-parser` takes one digit.
    Number,
    /// Figure 1: a text is a JSON text. `scim2-filter-parser` knows no escapes.
    Escape,
    /// Figure 1: `ATTRNAME` may be any word. `scim2-filter-parser` has keywords, even at the beginning of a name.
    Keyword,
    /// Figure 1: `valuePath` is a filter of its own, without a comparison behind it, and has none within.
    /// `scim2-filter-parser` takes both.
    ValuePathAsAttribute,
    /// RFC 7644 §7.8 (RFC 7643 §2.3.1 for texts): limits are the server's own; ours are lower.
    Limit,
}

use Difference::{
    BareWord, Blanks, CaseOfLiterals, Dollar, Escape, Keyword, Limit, NotWithoutBlank, Number, Precedence,
    SubAttributeOfValuePath, ValuePathAsAttribute,
};

#[test]
fn scim_v2_reads_filters_as_we_do_but_for_known_differences() {
    let theirs = |text: &str| text.parse().ok().map(|filter| from_scim_v2(&filter));
    let (mut met, mut agreed) = (BTreeSet::new(), 0);
    for text in corpus() {
        let (ours, theirs_of_text) = (Filter::parse(&text).ok(), theirs(&text));
        if ours.clone().map(normal) == theirs_of_text.clone().map(normal) {
            agreed += usize::from(ours.is_some());
            continue;
        }
        let difference = match (&ours, &theirs_of_text) {
            (Some(ours), None) => reasons(&text, ours).into_iter().find(|_| {
                // What they refuse in our spelling they have to understand in the canonical one.
                has_dollar(ours) || theirs(&ours.to_string()).map(normal) == Some(normal(ours.clone()))
            }),
            (None, Some(_)) => refusals(&text),
            _ => None,
        };
        let Some(difference) = difference else {
            panic!("unknown difference: {text}\n  ours {ours:?}\ntheirs {theirs_of_text:?}");
        };
        met.insert(difference);
    }
    let known = [NotWithoutBlank, BareWord, SubAttributeOfValuePath, Dollar, Blanks, CaseOfLiterals, Limit];
    assert_eq!(met, BTreeSet::from(known));
    assert!(agreed > 1_900, "only {agreed} filters are read alike");
}

#[test]
fn scim2_filter_parser_reads_filters_as_we_do_but_for_known_differences() {
    let corpus = corpus();
    let explicit: Vec<_> = corpus
        .iter()
        .map(|text| Filter::parse(text).map(|filter| in_parentheses(&filter)).unwrap_or_default())
        .collect();
    let Some(trees) = ask_python(corpus.iter().chain(&explicit)) else { return };
    let (of_text, of_explicit) = trees.split_at(corpus.len());
    let (mut met, mut agreed) = (BTreeSet::new(), 0);
    for ((text, theirs), theirs_explicit) in corpus.iter().zip(of_text).zip(of_explicit) {
        let ours = Filter::parse(text).ok();
        let wanted = ours.as_ref().map(tree);
        if wanted == *theirs {
            agreed += usize::from(ours.is_some());
            continue;
        }
        let difference = match (&ours, theirs) {
            (Some(ours), Some(_)) if wanted == *theirs_explicit && mixes(ours) => Some(Precedence),
            (Some(ours), _) => python_reasons(text, ours).into_iter().next(),
            (None, _) => python_refusals(text),
        };
        let Some(difference) = difference else {
            panic!("unknown difference: {text}\n  ours {wanted:?}\ntheirs {theirs:?}");
        };
        met.insert(difference);
    }
    let known =
        [BareWord, Blanks, CaseOfLiterals, Precedence, Number, Escape, Keyword, ValuePathAsAttribute, Limit];
    assert_eq!(met, BTreeSet::from(known));
    assert!(agreed > 800, "only {agreed} filters are read alike");
}

fn corpus() -> Vec<String> {
    let seed = Config { rng_seed: RngSeed::Fixed(7_644), ..Config::default() };
    let mut runner = TestRunner::new(seed);
    let mut texts: Vec<_> = EXAMPLES.map(str::to_owned).into();
    texts.push(vec!["a pr"; MAX_FILTER_TERMS + 1].join(" or "));
    texts.push(format!("{}a pr{}", "(".repeat(MAX_FILTER_DEPTH + 1), ")".repeat(MAX_FILTER_DEPTH + 1)));
    let (filters, nearly) = (prop_filter::filter(), prop_filter::almost_filter());
    for _ in 0..GENERATED {
        // Half of the names would have a $, which one of the parsers never takes.
        texts.push(filters.new_tree(&mut runner).unwrap().current().to_string().replace('$', "r"));
        texts.push(nearly.new_tree(&mut runner).unwrap().current());
    }
    texts
}

/// What we take and others need not.
fn reasons(text: &str, ours: &Filter) -> Vec<Difference> {
    let plain = outside_quotes(text);
    let mut reasons = Vec::new();
    let mut reason = |difference, holds: bool| reasons.extend(holds.then_some(difference));
    reason(Dollar, has_dollar(ours));
    reason(SubAttributeOfValuePath, plain.contains("]."));
    reason(BareWord, has_bare_words(text, &literals(ours)));
    reason(CaseOfLiterals, has_cased_literals(text));
    reason(NotWithoutBlank, plain.to_ascii_lowercase().contains("not("));
    reason(Blanks, has_odd_blanks(text));
    reasons
}

/// What others take and we do not.
fn refusals(text: &str) -> Option<Difference> {
    let depth = text.matches(['(', '[']).count();
    let terms =
        text.split_whitespace().filter(|word| word.trim_matches(')').eq_ignore_ascii_case("pr")).count();
    (depth > MAX_FILTER_DEPTH || terms > MAX_FILTER_TERMS).then_some(Limit)
}

fn python_reasons(text: &str, ours: &Filter) -> Vec<Difference> {
    let mut reasons = Vec::new();
    let mut reason = |difference, holds: bool| reasons.extend(holds.then_some(difference));
    let is_digit = |text: &str| text.len() == 1 && text.bytes().all(|byte| byte.is_ascii_digit());
    let literals = literals(ours);
    reason(
        Number,
        literals.iter().any(|literal| matches!(literal, Literal::Number(text) if !is_digit(text))),
    );
    reason(Escape, text.contains('\\'));
    reason(BareWord, has_bare_words(text, &literals));
    reason(CaseOfLiterals, has_cased_literals(text));
    let keyword = |name: &str| {
        let name = name.rsplit(':').next().unwrap_or_default().split('.').next().unwrap_or_default();
        let is_operator = CompareOp::parse(name).is_some() || name.eq_ignore_ascii_case("pr");
        is_operator || ["true", "false", "null"].iter().any(|word| name.starts_with(word))
    };
    reason(Keyword, paths(ours).iter().any(|path| keyword(&path.attribute)));
    reasons
}

fn python_refusals(text: &str) -> Option<Difference> {
    let plain = outside_quotes(text);
    let in_brackets = plain.split('[').skip(1).any(|inner| !inner.contains(']'));
    if refusals(text).is_some() {
        Some(Limit)
    } else if text.contains('\\') {
        Some(Escape)
    } else if plain.contains(" .") {
        Some(Blanks)
    } else if in_brackets || plain.contains(']') {
        Some(ValuePathAsAttribute)
    } else {
        None
    }
}

fn has_bare_words(text: &str, literals: &[Literal]) -> bool {
    let texts = literals.iter().filter(|literal| matches!(literal, Literal::String(_))).count();
    texts > outside_quotes(text).matches("\"\"").count()
}

/// Whether `true`, `false` or `null` stands in another case.
fn has_cased_literals(text: &str) -> bool {
    let plain = outside_quotes(text);
    let words = plain.split(|c: char| c.is_whitespace() || "()[]\"".contains(c));
    let is_cased = |word: &str| {
        ["true", "false", "null"].iter().any(|literal| word.eq_ignore_ascii_case(literal) && word != *literal)
    };
    words.into_iter().any(is_cased)
}

/// The text with every quoted part empty.
fn outside_quotes(text: &str) -> String {
    let (mut plain, mut quoted, mut escaped) = (String::new(), false, false);
    for c in text.chars() {
        let is_quote = c == '"' && !escaped;
        if is_quote || !quoted {
            plain.push(c);
        }
        quoted ^= is_quote;
        escaped = quoted && c == '\\' && !escaped;
    }
    plain
}

/// Whether blanks stand otherwise than in the canonical form.
fn has_odd_blanks(text: &str) -> bool {
    let plain = outside_quotes(text);
    let characters: Vec<_> = plain.chars().collect();
    plain.trim() != plain
        || characters.windows(2).any(|pair| match pair {
            [' ', next] => " )]".contains(*next),
            [before, ' '] => "([".contains(*before),
            [before, next] => {
                before.is_whitespace()
                    || next.is_whitespace()
                    || ("\")]".contains(*before) && next.is_alphanumeric())
                    || (before.is_alphanumeric() && "\"(".contains(*next))
            }
            _ => false,
        })
}

fn has_dollar(filter: &Filter) -> bool {
    paths(filter).iter().any(|path| path.to_string().contains('$'))
}

/// Every path of the filter.
fn paths(filter: &Filter) -> Vec<AttributePath> {
    match filter {
        Filter::Or(parts) | Filter::And(parts) => parts.iter().flat_map(paths).collect(),
        Filter::Not(inner) => paths(inner),
        Filter::Present(operand) | Filter::Compare(operand, ..) => vec![operand.path.clone()],
        Filter::Any(operand, inner) => std::iter::once(operand.path.clone()).chain(paths(inner)).collect(),
    }
}

/// Every literal of the filter.
fn literals(filter: &Filter) -> Vec<Literal> {
    match filter {
        Filter::Or(parts) | Filter::And(parts) => parts.iter().flat_map(literals).collect(),
        Filter::Not(inner) | Filter::Any(_, inner) => literals(inner),
        Filter::Present(_) => Vec::new(),
        Filter::Compare(_, _, literal) => vec![literal.clone()],
    }
}

/// Whether an `and` stands beside an `or` without parentheses.
fn mixes(filter: &Filter) -> bool {
    match filter {
        Filter::Or(parts) => parts.iter().any(|part| matches!(part, Filter::And(_)) || mixes(part)),
        Filter::And(parts) => parts.iter().any(mixes),
        Filter::Not(inner) | Filter::Any(_, inner) => mixes(inner),
        Filter::Present(_) | Filter::Compare(..) => false,
    }
}

/// The filter with what is joined in the same way side by side, and with numbers by value.
fn normal(filter: Filter) -> Filter {
    let parts_of = |parts: Vec<Filter>, unwrap: fn(Filter) -> Result<Vec<Filter>, Filter>| {
        let parts =
            parts.into_iter().map(normal).flat_map(|part| unwrap(part).unwrap_or_else(|part| vec![part]));
        parts.collect::<Vec<_>>()
    };
    match filter {
        Filter::Or(parts) => Filter::Or(parts_of(parts, |part| match part {
            Filter::Or(parts) => Ok(parts),
            part => Err(part),
        })),
        Filter::And(parts) => Filter::And(parts_of(parts, |part| match part {
            Filter::And(parts) => Ok(parts),
            part => Err(part),
        })),
        Filter::Not(inner) => Filter::Not(Box::new(normal(*inner))),
        Filter::Any(operand, inner) => Filter::Any(operand, Box::new(normal(*inner))),
        Filter::Compare(operand, op, Literal::Number(text)) => {
            let number: serde_json::Number = serde_json::from_str(&text).unwrap();
            Filter::Compare(operand, op, Literal::Number(number.to_string()))
        }
        filter => filter,
    }
}

fn from_scim_v2(filter: &other::Filter) -> Filter {
    match filter {
        other::Filter::Attr(term) => from_term(term),
        other::Filter::ValuePath(path) => {
            Filter::Any(from_path(&path.attr).into(), Box::new(from_value_filter(&path.filter)))
        }
        other::Filter::Not(inner) => Filter::Not(Box::new(from_scim_v2(inner))),
        other::Filter::And(parts) => Filter::And(parts.iter().map(from_scim_v2).collect()),
        other::Filter::Or(parts) => Filter::Or(parts.iter().map(from_scim_v2).collect()),
    }
}

fn from_value_filter(filter: &other::ValFilter) -> Filter {
    match filter {
        other::ValFilter::Attr(term) => from_term(term),
        other::ValFilter::Not(inner) => Filter::Not(Box::new(from_value_filter(inner))),
        other::ValFilter::And(parts) => Filter::And(parts.iter().map(from_value_filter).collect()),
        other::ValFilter::Or(parts) => Filter::Or(parts.iter().map(from_value_filter).collect()),
    }
}

fn from_term(term: &other::AttrExp) -> Filter {
    match term {
        other::AttrExp::Present(path) => Filter::Present(from_path(path).into()),
        other::AttrExp::Comparison(path, op, value) => {
            let literal = match value {
                other::CompValue::True => Literal::Boolean(true),
                other::CompValue::False => Literal::Boolean(false),
                other::CompValue::Null => Literal::Null,
                other::CompValue::Number(number) => Literal::Number(number.to_string()),
                other::CompValue::Str(text) => Literal::String(text.clone()),
            };
            let op = CompareOp::parse(&format!("{op:?}")).unwrap();
            Filter::Compare(from_path(path).into(), op, literal)
        }
    }
}

fn from_path(path: &other::AttrPath) -> AttributePath {
    AttributePath { urn: path.uri.clone(), attribute: path.name.clone(), sub: path.sub_attr.clone() }
}

/// The filter with parentheses around every pair that `and` or `or` joins.
fn in_parentheses(filter: &Filter) -> String {
    let join = |parts: &[Filter], keyword: &str| {
        let parts = parts.iter().map(in_parentheses);
        parts.reduce(|left, right| format!("({left} {keyword} {right})")).unwrap_or_default()
    };
    match filter {
        Filter::Or(parts) => join(parts, "or"),
        Filter::And(parts) => join(parts, "and"),
        Filter::Not(inner) => format!("not ({})", in_parentheses(inner)),
        Filter::Any(operand, inner) => format!("{}[{}]", operand.path, in_parentheses(inner)),
        term => term.to_string(),
    }
}

/// The tree in the form of `tests/oracles/filter.py`, with what is joined in the same way side by side.
fn tree(filter: &Filter) -> Value {
    let join = |parts: &[Filter], keyword: &str| joined(keyword, parts.iter().map(tree));
    match filter {
        Filter::Or(parts) => join(parts, "or"),
        Filter::And(parts) => join(parts, "and"),
        Filter::Not(inner) => json!(["not", tree(inner)]),
        Filter::Any(operand, inner) => json!(["any", operand.path.to_string(), tree(inner)]),
        Filter::Present(operand) => json!(["pr", operand.path.to_string()]),
        Filter::Compare(operand, op, literal) => {
            let literal = match literal {
                Literal::String(text) => text.clone(),
                literal => literal.to_string(),
            };
            json!([op.as_str(), operand.path.to_string(), literal])
        }
    }
}

fn joined(keyword: &str, parts: impl Iterator<Item = Value>) -> Value {
    let parts = parts.flat_map(|part| match part {
        Value::Array(parts) if parts[0] == keyword => parts.into_iter().skip(1).collect(),
        part => vec![part],
    });
    std::iter::once(Value::from(keyword)).chain(parts).collect()
}

/// Asks `scim2-filter-parser` for the trees of `texts`; `None` without an interpreter.
fn ask_python<'a>(texts: impl Iterator<Item = &'a String>) -> Option<Vec<Option<Value>>> {
    let mut script = python::script("tests/oracles/filter.py")?;
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines: Vec<_> = texts.map(|text| Value::from(text.as_str()).to_string()).collect();
    let mut input = child.stdin.take().unwrap();
    let count = lines.len();
    let writer = std::thread::spawn(move || input.write_all((lines.join("\n") + "\n").as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(
        output.status.success(),
        "tests/oracles/filter.py failed; is tests/oracles/requirements.txt installed?"
    );
    let trees = String::from_utf8(output.stdout).unwrap();
    let trees: Vec<_> = trees.lines().map(|line| from_python(serde_json::from_str(line).unwrap())).collect();
    assert_eq!(trees.len(), count);
    Some(trees)
}

/// A tree of theirs in our form: a value path with a comparison behind it is a value path with one more condition.
fn from_python(tree: Value) -> Option<Value> {
    let Value::Array(mut parts) = tree else { return None };
    let keyword = parts[0].as_str().unwrap().to_owned();
    Some(match (keyword.as_str(), parts.as_mut_slice()) {
        ("and" | "or", _) => joined(&keyword, parts.into_iter().skip(1).filter_map(from_python)),
        ("not", [_, inner]) => json!(["not", from_python(inner.take())]),
        ("any", [_, path, inner]) => json!(["any", path, from_python(inner.take())]),
        (_, [op, Value::Array(value_path), rest @ ..]) => {
            let path = value_path[1].as_str().unwrap_or_default().to_owned();
            let (attribute, sub) = path.rsplit_once('.').unwrap_or((&path, ""));
            let condition: Value = [op.clone(), sub.into()].into_iter().chain(rest.iter().cloned()).collect();
            let inner = from_python(value_path[2].take())?;
            json!(["any", attribute, joined("and", [inner, condition].into_iter())])
        }
        _ => Value::Array(parts),
    })
}
