//! Which names are ids of the hub.

use limbeck_recipe::HubId;

#[test]
fn an_id_is_an_owner_and_a_name() {
    let commit = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf";
    for (text, revision) in [
        ("sentence-transformers/all-MiniLM-L6-v2", None),
        ("a/b.c_d", None),
        ("a/b@main", Some("main")),
        ("a/b@v1.0", Some("v1.0")),
        ("a/b@refs/pr/1", Some("refs/pr/1")),
        (&format!("a/b@{commit}"), Some(commit)),
    ] {
        let id = HubId::parse(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(id.revision.as_deref(), revision, "{text}");
        assert_eq!(id.to_string(), text);
        assert_eq!(HubId::pinned(text).is_some(), revision == Some(commit));
    }
}

#[test]
fn a_path_is_none() {
    for text in [
        "",
        "foo",
        "foo@main",
        "a/b/c",
        "./a/b",
        "./a",
        "../a",
        "/a/b",
        "/a",
        "~/a",
        "a/",
        "/",
        "a//b",
        "a\\b",
        "C:/a",
        "a b/c",
        "a/b--c",
        "a/b..c",
        "a/.b",
        "a/b.",
        "a/b@",
        "a/b@/x",
        "a/b@x/../y",
        "a/b@x y",
        "a/b?x",
        "a/b%2e",
    ] {
        assert_eq!(HubId::parse(text), None, "{text}");
    }
}
