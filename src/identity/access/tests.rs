//! What opens nothing: everything but a token that was signed here, for this face, at this time.

use serde_json::{Value, json};

use super::*;
use crate::identity::secret::Scratch;

fn bearer() -> Bearer {
    let id = Uuid::now_v7;
    Bearer { user: UserId::new(id()), tenant: TenantId::new(id()), session: SessionId::new(id()) }
}

fn private(byte: u8) -> PrivateKey {
    PrivateKey(SigningKey::from_bytes(&[byte; 32]))
}

fn ring() -> KeyRing {
    KeyRing::new(&private(1), [])
}

/// A token of this header and these claims, signed by the ring's key.
fn signed(header: &Value, claims: &str) -> String {
    use ed25519_dalek::Signer as _;
    let message =
        format!("{}.{}", encoded(header.to_string().as_bytes()), encoded(claims.as_bytes()));
    let signature = private(1).0.sign(message.as_bytes());
    format!("{message}.{}", encoded(&signature.to_bytes()))
}

fn header() -> Value {
    json!({"typ": "at+jwt", "alg": "EdDSA", "kid": private(1).public().kid})
}

fn claims() -> Value {
    let Bearer { user, tenant, session } = bearer();
    let now = Utc::now().timestamp();
    json!({
        "iss": "blotter", "aud": "blotter/rest", "sub": user, "tenant": tenant, "sid": session,
        "jti": Uuid::now_v7(), "iat": now, "nbf": now, "exp": now + 600,
    })
}

/// `value` with `name` set.
fn with(mut value: Value, name: &str, set: Value) -> Value {
    value[name] = set;
    value
}

fn opens(token: &str) -> bool {
    ring().read(token, Audience::Rest).is_ok()
}

#[test]
fn a_token_opens_the_face_that_it_is_for() {
    let (ring, bearer) = (ring(), bearer());
    for (audience, other) in [(Audience::Rest, Audience::Mcp), (Audience::Mcp, Audience::Rest)] {
        let issued = ring.issue(bearer, audience, Uuid::now_v7(), Utc::now()).unwrap();
        assert_eq!(ring.read(&issued.token, audience).unwrap(), bearer);
        assert!(ring.read(&issued.token, other).is_err());
    }
    assert!(opens(&signed(&header(), &claims().to_string())), "the tests sign as the ring does");
}

#[test]
fn times_hold_within_five_seconds() {
    let now = Utc::now().timestamp();
    let at = |name: &str, seconds: i64| {
        opens(&signed(&header(), &with(claims(), name, json!(now + seconds)).to_string()))
    };
    assert!(at("exp", -3) && !at("exp", -7));
    assert!(at("nbf", 3) && !at("nbf", 60));
    // Who shows one of which nothing but that is wrong is told so.
    let expired = with(claims(), "exp", json!(now - 60));
    let of_time = |token: &str| ring().read(token, Audience::Rest).unwrap_err().is_of_time();
    let old = signed(&header(), &expired.to_string());
    assert!(of_time(&old) && !of_time(&old[..old.len() - 4]));
    assert!(!of_time(&signed(&header(), &with(claims(), "nbf", json!(now + 60)).to_string())));
}

#[test]
fn every_claim_is_needed_in_its_type_and_no_other_is_taken() {
    let whole = claims();
    for name in whole.as_object().unwrap().keys() {
        let mut cut = whole.clone();
        cut.as_object_mut().unwrap().remove(name);
        assert!(!opens(&signed(&header(), &cut.to_string())), "without {name}");
        for odd in [json!(null), json!([]), json!({}), json!(true), json!(-1), json!(1.5)] {
            let odd = with(whole.clone(), name, odd);
            assert!(!opens(&signed(&header(), &odd.to_string())), "{odd}");
        }
    }
    for name in ["iat", "nbf", "exp"] {
        let text = with(whole.clone(), name, json!("9999999999"));
        assert!(!opens(&signed(&header(), &text.to_string())), "{name} as a string");
        let huge =
            whole.to_string().replace(&format!("\"{name}\":"), &format!("\"{name}\":1e400,\"x\":"));
        assert!(!opens(&signed(&header(), &huge)), "{name} without end");
    }
    let more = with(whole.clone(), "role", json!("admin"));
    assert!(!opens(&signed(&header(), &more.to_string())));
    let twice = whole.to_string().replacen('{', r#"{"iss":"blotter","#, 1);
    assert!(!opens(&signed(&header(), &twice)), "a claim twice");
    for (name, other) in [("iss", "somebody"), ("aud", "blotter/mcp"), ("aud", "")] {
        assert!(!opens(&signed(&header(), &with(whole.clone(), name, json!(other)).to_string())));
    }
}

#[test]
fn a_header_asks_for_nothing_but_what_we_sign() {
    let claims = claims().to_string();
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(&private(1).public().bytes)});
    let odd = [
        ("typ", json!("JWT")),
        ("typ", json!(null)),
        ("alg", json!("none")),
        ("alg", json!("None")),
        ("alg", json!("HS256")),
        ("alg", json!("ES256")),
        ("alg", json!(null)),
        ("kid", json!("../../dev/null")),
        ("kid", json!("' OR 1=1--")),
        ("kid", json!("x".repeat(10_000))),
        ("kid", json!(null)),
        ("jku", json!("http://127.0.0.1:1/keys")),
        ("x5u", json!("http://127.0.0.1:1/keys")),
        ("x5c", json!(["MIIB"])),
        ("jwk", jwk),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
    ];
    for (name, value) in odd {
        assert!(!opens(&signed(&with(header(), name, value.clone()), &claims)), "{name}: {value}");
    }
}

#[test]
fn another_key_opens_nothing_and_neither_does_ours_as_a_password() {
    let other = KeyRing::new(&private(2), []);
    let issued = other.issue(bearer(), Audience::Rest, Uuid::now_v7(), Utc::now()).unwrap();
    assert!(!opens(&issued.token), "a key that is not in the ring");
    // The other key under our name.
    let (_, rest) = issued.token.split_once('.').unwrap();
    assert!(!opens(&format!("{}.{rest}", encoded(header().to_string().as_bytes()))));
    // Empty, all zeros, and of the wrong length.
    let good = signed(&header(), &claims().to_string());
    let (message, _) = good.rsplit_once('.').unwrap();
    for signature in ["".to_owned(), encoded(&[0; 64]), encoded(&[0; 63]), "!".repeat(86)] {
        assert!(!opens(&format!("{message}.{signature}")));
    }
}

#[test]
fn what_has_not_three_parts_of_plain_base64_is_no_token() {
    let good = signed(&header(), &claims().to_string());
    let (head, _) = good.split_once('.').unwrap();
    let odd = [
        String::new(),
        "..".to_owned(),
        head.to_owned(),
        good.rsplit_once('.').unwrap().0.to_owned(),
        format!("{good}.{head}"),
        format!("{good}="),
        format!(" {good}"),
        format!("{good}\n"),
        good.replacen('.', "=.", 1),
        "é".repeat(20),
    ];
    for token in odd {
        assert!(!opens(&token), "{token:?}");
    }
    let long = with(claims(), "iss", json!("x".repeat(TOKEN_MAX)));
    assert!(matches!(
        ring().read(&signed(&header(), &long.to_string()), Audience::Rest),
        Err(AccessError::TooLong)
    ));
}

#[test]
fn keys_of_others_are_read_and_shown_without_their_private_half() {
    let (mine, other) = (private(1), private(2));
    let theirs = KeyRing::new(&other, []);
    let issued = theirs.issue(bearer(), Audience::Mcp, Uuid::now_v7(), Utc::now()).unwrap();
    // The point of y = 2 is on no curve: such bytes read nothing and are not shown.
    let mut none = [0; 32];
    none[0] = 2;
    let ring = KeyRing::new(&mine, [other.public(), PublicKey::new(none)]);
    assert!(ring.read(&issued.token, Audience::Mcp).is_ok());
    let shown = serde_json::to_value(ring.jwks()).unwrap();
    let mut kids: Vec<_> = shown.as_array().unwrap().iter().map(|key| key["kid"].clone()).collect();
    let mut expected = vec![json!(mine.public().kid), json!(other.public().kid)];
    kids.sort_by_key(Value::to_string);
    expected.sort_by_key(Value::to_string);
    assert_eq!(kids, expected);
    for key in shown.as_array().unwrap() {
        let names: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["alg", "crv", "kid", "kty", "use", "x"]);
    }
}

#[test]
fn the_thumbprint_is_that_of_rfc_8037() {
    // Appendix A.3 there.
    let x = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
    let key = PublicKey::new(x.try_into().unwrap());
    assert_eq!(key.kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn the_key_lasts_until_it_is_replaced() {
    let scratch = Scratch::new("access");
    let first = PrivateKey::load(&scratch.0).unwrap().public();
    assert_eq!(PrivateKey::load(&scratch.0).unwrap().public(), first);
    let second = PrivateKey::replace(&scratch.0).unwrap().public();
    assert_ne!(second, first);
    assert_eq!(PrivateKey::load(&scratch.0).unwrap().public(), second);
    std::fs::write(scratch.0.join(FILE), "no key\n").unwrap();
    assert!(matches!(PrivateKey::load(&scratch.0), Err(SecretError::Malformed { .. })));
}
