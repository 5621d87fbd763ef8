//! Filters and paths of any text: no panic, no blow-up, and printing is the inverse of parsing.

use openai_scim_bridge::scim::filter::{CompareOp, Filter, Literal};
use openai_scim_bridge::scim::path::{AttributePath, PatchPath};
use openai_scim_bridge::scim::resource::Resource;
use openai_scim_bridge::scim::schema::{Registry, ResourceType};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// The same cases in every run.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 1_000, rng_seed: RngSeed::Fixed(7_644), ..ProptestConfig::default() }
}

fn user() -> &'static ResourceType {
    Registry::builtin().resource_type("User").unwrap()
}

fn jane() -> Resource {
    Resource::try_from(serde_json::json!({
        "id": "1", "userName": "jane", "active": true, "title": "",
        "emails": [{"type": "work", "value": "jane@example.com", "primary": true}, {"value": "j@home.example"}],
        "meta": {"lastModified": "2026-03-01T12:00:00Z"}
    }))
    .unwrap()
}

fn path() -> impl Strategy<Value = AttributePath> {
    let name = "[a-z][A-Za-z0-9_-]{0,8}".prop_filter("keyword", |name| {
        !["and", "or", "not"].iter().any(|keyword| keyword.eq_ignore_ascii_case(name))
    });
    let urn = prop::option::of("urn:[a-z]{1,5}:[a-z.0-9]{1,8}");
    (urn, name, prop::option::of("[a-z$][A-Za-z]{0,8}")).prop_map(|(urn, attribute, sub)| AttributePath {
        urn,
        attribute,
        sub,
    })
}

fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        "[^\\x00]{0,12}".prop_map(Literal::String),
        any::<i32>().prop_map(|number| Literal::Number(number.to_string())),
        (-1e6..1e6).prop_map(|number: f64| Literal::Number(number.to_string())),
        any::<bool>().prop_map(Literal::Boolean),
        Just(Literal::Null),
    ]
}

fn op() -> impl Strategy<Value = CompareOp> {
    prop::sample::select(vec!["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"])
        .prop_map(|keyword| CompareOp::parse(keyword).unwrap())
}

pub(crate) fn filter() -> impl Strategy<Value = Filter> {
    let term = || {
        prop_oneof![
            path().prop_map(|path| Filter::Present(path.into())),
            (path(), op(), literal()).prop_map(|(path, op, literal)| Filter::Compare(
                path.into(),
                op,
                literal
            )),
        ]
    };
    let combined = |inner: BoxedStrategy<Filter>| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Filter::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Filter::Or),
            inner.prop_map(|inner| Filter::Not(Box::new(inner))),
        ]
    };
    let within = term().prop_recursive(2, 6, 3, move |inner| combined(inner.boxed()));
    let any = (path(), within)
        .prop_map(|(path, inner)| Filter::Any(AttributePath { sub: None, ..path }.into(), Box::new(inner)));
    prop_oneof![3 => term(), 1 => any].prop_recursive(3, 12, 3, move |inner| combined(inner.boxed()))
}

/// Texts that are filters, or nearly so.
pub(crate) fn almost_filter() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "userName",
        "emails",
        "type",
        ".value",
        "meta.lastModified",
        "active",
        "eq",
        "EQ",
        "co",
        "gt",
        "pr",
        "and",
        "or",
        "not",
        "not(",
        "(",
        ")",
        "[",
        "]",
        "\"work\"",
        "\"a\\\"b\"",
        "\"\\ud83d\\ude00\"",
        "true",
        "False",
        "null",
        "-1.5e3",
        "bare",
        "\"2026-01-01T00:00:00Z\"",
        "\"",
        "\\",
        "urn:ietf:params:scim:schemas:core:2.0:User:",
        "ü",
        " ",
    ]);
    (prop::collection::vec(pieces, 0..16), any::<bool>())
        .prop_map(|(pieces, spaced)| pieces.join(if spaced { " " } else { "" }))
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn printing_a_filter_and_parsing_it_gives_the_same(filter in filter()) {
        let text = filter.to_string();
        prop_assert_eq!(Filter::parse(&text).unwrap(), filter, "{}", text);
    }

    #[test]
    fn printing_a_path_and_parsing_it_gives_the_same(path in path(), filter in prop::option::of(filter())) {
        let whole = PatchPath { attribute: path, filter };
        let has_nested_brackets = whole.filter.as_ref().is_some_and(|filter| filter.to_string().contains('['));
        match PatchPath::parse(&whole.to_string()) {
            Ok(parsed) => prop_assert_eq!(parsed, whole),
            Err(error) => prop_assert!(has_nested_brackets, "{}: {}", whole, error),
        }
    }

    #[test]
    fn any_text_parses_or_is_refused(text in "\\PC{0,200}") {
        drop(Filter::parse(&text));
        drop(PatchPath::parse(&text));
    }

    #[test]
    fn text_that_is_nearly_a_filter_never_panics(text in almost_filter()) {
        if let Ok(filter) = Filter::parse(&text) {
            prop_assert_eq!(&Filter::parse(&filter.to_string()).unwrap(), &filter);
            if let Ok(resolved) = filter.resolve(user()) {
                let _matches = resolved.matches(&jane());
            }
        }
        drop(PatchPath::parse(&text));
    }

    #[test]
    fn not_is_the_contrary(text in almost_filter()) {
        let negated = format!("not ({text})");
        if let (Ok(plain), Ok(negated)) = (Filter::parse(&text), Filter::parse(&negated))
            && let (Ok(plain), Ok(negated)) = (plain.resolve(user()), negated.resolve(user()))
        {
            prop_assert_ne!(plain.matches(&jane()), negated.matches(&jane()));
        }
    }
}

#[test]
fn filters_built_to_be_expensive_are_refused_or_cheap() {
    let texts = [
        "(".repeat(100_000),
        "not(".repeat(100_000),
        "[".repeat(100_000),
        format!("{}userName eq \"a\"{}", "(".repeat(50_000), ")".repeat(50_000)),
        "emails[".repeat(500),
        "a.".repeat(2_000),
        "\\".repeat(4_000),
        format!("userName eq \"{}\"", "\\\\".repeat(2_000)),
        format!("userName{}eq \"a\"", " ".repeat(3_000)),
        vec!["userName eq \"a\""; 1_000].join(" or "),
        format!("meta.lastModified gt \"{}\"", "(".repeat(300)),
        format!("active eq {}", "1".repeat(4_000)),
    ];
    // A blow-up would take minutes; the bound leaves room for a busy machine.
    let started = std::time::Instant::now();
    for text in &texts {
        drop(Filter::parse(text).and_then(|filter| filter.resolve(user())));
        drop(PatchPath::parse(text));
    }
    assert!(started.elapsed().as_secs() < 2, "{:?}", started.elapsed());
}
