//! Text of every class of Unicode, and bytes that are none, in every kind of text attribute.

use serde_json::{Value, json};

use super::{Kind, Wall, scim_error};

/// Bytes that are no JSON text: half of a surrogate pair, forms that UTF-8 forbids (RFC 3629 §3), control characters.
const BROKEN: &[&[u8]] = &[
    br"\ud800",
    br"\udc00",
    br"\udc00\ud800",
    br"\ud800A",
    br"\ud800\u0041",
    br"\u12",
    br"\u{41}",
    br"\x41",
    b"\\",
    b"\xed\xa0\x80",
    b"\xed\xb0\x80",
    b"\xc0\xaf",
    b"\xc0\x80",
    b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf",
    b"\xf5\x80\x80\x80",
    b"\xf4\x90\x80\x80",
    b"\xe2\x82",
    b"\x80",
    b"\xff",
    b"\xfe\xff",
    b"\x00",
    b"\x01",
    b"\n",
    b"\x1f",
];

/// Text that is well-formed, one for each class.
fn classes() -> Vec<(&'static str, String)> {
    let fixed = [
        ("NUL", "a\u{0}b"),
        ("C0 control", "a\u{1}\u{8}\u{b}\u{1f}b"),
        ("line breaks", "a\r\nX-Injected: 1\n\nb"),
        ("escape sequence", "a\u{1b}[2J\u{1b}]0;x\u{7}b"),
        ("DEL and C1", "a\u{7f}\u{80}\u{9f}b"),
        ("next line and separators", "a\u{85}\u{2028}\u{2029}b"),
        ("no-break and odd blanks", "a\u{a0}\u{2003}\u{3000}b"),
        ("blanks alone", " \u{a0} "),
        ("soft hyphen", "a\u{ad}b"),
        ("zero width", "a\u{200b}\u{200c}\u{200d}\u{2060}b"),
        ("byte order mark", "\u{feff}ab"),
        ("bidi override", "a\u{202e}moc.elpmaxe\u{202c}b"),
        ("bidi isolates and marks", "a\u{2066}b\u{2069}\u{200e}\u{200f}\u{61c}"),
        ("right to left", "\u{5d0}\u{5d1} \u{645}\u{631}"),
        ("combining, alone and after", "\u{301}a\u{301}"),
        ("composed and not", "\u{e9} e\u{301}"),
        ("full width", "\u{ff41}\u{ff20}\u{ff41}"),
        ("ligature and long s", "\u{fb01}\u{17f}\u{212a}"),
        ("dotless and dotted i", "\u{131}\u{130}"),
        ("sharp s", "\u{df}\u{1e9e}"),
        ("another script's letters", "\u{430}\u{435}\u{3bf}"),
        ("emoji with joiners", "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}"),
        ("tag characters", "a\u{e0001}\u{e0061}b"),
        ("variation selectors", "a\u{fe0f}\u{e0100}b"),
        ("private use", "\u{e000}\u{f8ff}\u{10fffd}"),
        ("no characters", "\u{fdd0}\u{fffe}\u{ffff}\u{1ffff}\u{10ffff}"),
        ("replacement", "\u{fffd}\u{fffc}"),
        ("quotes and backslashes", "\"\\\"' \\u0000 `"),
        ("wildcards and escapes of SQL", "%_\\%'; DROP TABLE people; --"),
        ("markup", "<script>alert(1)</script>&amp;"),
        ("templates", "${jndi:ldap://x}{{7*7}}%s%n$(id)`id`"),
        ("formula", "=cmd|'/c calc'!A1"),
    ];
    let mut classes: Vec<_> = fixed.map(|(name, text)| (name, text.to_owned())).into();
    classes.push(("a tall stack", format!("a{}", "\u{301}".repeat(500))));
    classes
}

/// Attributes that hold free text, and where to write them.
fn places(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::User => &["displayName", "externalId", "title", "name.givenName", "nickName"],
        Kind::Group => &["displayName", "externalId"],
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_are_refused_wherever_they_stand() {
    let mut wall = Wall::new().await;
    for kind in Kind::BOTH {
        let (mut new, path, mut put) = wall.bodies(kind);
        let name = if kind == Kind::User { "userName" } else { "displayName" };
        new[name] = json!("@@");
        put[name] = json!("@@");
        let patch = json!({"Operations": [{"op": "replace", "path": name, "value": "@@"}]});
        let key = json!({name: "x", "@@": "x"});
        for broken in BROKEN {
            for (method, path, body) in [
                ("POST", kind.collection(), &new),
                ("PUT", path.as_str(), &put),
                ("PATCH", path.as_str(), &patch),
                ("POST", kind.collection(), &key),
            ] {
                let text = body.to_string();
                let (before, after) = text.split_once("@@").unwrap();
                let body = [before.as_bytes(), broken, after.as_bytes()].concat();
                let answer = wall.send(method, path, Some(&body)).await;
                answer.expect_error(400, Some("invalidSyntax"));
            }
        }
    }
    assert!(wall.cases >= 200, "{}", wall.cases);
}

#[tokio::test]
async fn text_of_every_class_is_refused_or_comes_back_as_it_was() {
    let mut wall = Wall::new().await;
    for kind in Kind::BOTH {
        for (class, text) in classes() {
            for place in places(kind) {
                let (_, path, _) = wall.bodies(kind);
                let answer =
                    wall.patch(&path, json!([{"op": "replace", "path": place, "value": text}])).await;
                if class == "NUL"
                    || (*place == "displayName" && kind == Kind::Group && text.trim().is_empty())
                {
                    answer.expect_error(400, Some("invalidValue"));
                    continue;
                }
                assert!(matches!(answer.status, 200 | 204), "{class} in {place}: {answer:?}");
                assert_eq!(answer.header("x-injected"), None);
                let read = wall.send("GET", &path, None).await.expect(200);
                let pointer = format!("/{}", place.replace('.', "/"));
                assert_eq!(read.pointer(&pointer), Some(&Value::from(text.as_str())), "{class} in {place}");
                // What is found by it is the one who has it.
                let filter = format!("{place} eq {}", Value::from(text.as_str()));
                let found = wall.find(kind.collection(), &filter).await.expect(200);
                assert_eq!(found["Resources"][0]["id"], read["id"], "{class} in {place}: {found}");
            }
        }
    }
    assert!(wall.cases >= 500, "{}", wall.cases);
}

/// A text that looks like an address and is not one plain mailbox must never reach OpenAI, whatever it is written in.
#[tokio::test]
async fn an_address_takes_plain_letters_alone() {
    let mut wall = Wall::new().await;
    let plain = ["quotes and backslashes", "templates", "formula", "wildcards and escapes of SQL", "markup"];
    for (class, text) in classes().into_iter().filter(|(class, _)| !plain.contains(class)) {
        for address in
            [format!("{text}@x.example"), format!("jane@{text}.example"), format!("jane{text}@x.example")]
        {
            let (mut by_name, path, _) = wall.bodies(Kind::User);
            by_name["userName"] = json!(address);
            by_name["emails"] = json!([]);
            let (mut by_email, _, _) = wall.bodies(Kind::User);
            by_email["emails"] = json!([{"value": address, "primary": true}]);
            let changed =
                json!([{"op": "replace", "path": "emails", "value": [{"value": address, "primary": true}]}]);
            for answer in [
                wall.post("/Users", &by_name).await,
                wall.post("/Users", &by_email).await,
                wall.patch(&path, changed).await,
            ] {
                let error = scim_error(&answer);
                assert_eq!(
                    (answer.status, &error["scimType"]),
                    (400, &json!("invalidValue")),
                    "{class}: {error}"
                );
            }
        }
    }
    for entry in wall.stage.simulator.ledger().iter().filter(|entry| entry.method == "POST") {
        let invited = entry.body["email"].as_str().unwrap_or_default();
        assert!(invited.is_ascii() && !invited.chars().any(char::is_control), "{invited:?}");
    }
    assert!(wall.cases >= 250, "{}", wall.cases);
}
