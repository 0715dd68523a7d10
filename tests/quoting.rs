//! Hostile values in a real shell: each stays one word, whichever engine wrote it, and what no shell
//! word can hold is refused by its name.

mod common;

use common::{catalog, cluster, secrets, sh};
use paas_cluster_build::cluster_file::Place;
use paas_cluster_build::job::{Action, Context};
use paas_cluster_build::script::{ShellEscaper, Values, render_site_template};
use proptest::prelude::*;

/// A text with what is special to shells.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("'"),
        Just("\""),
        Just("$(id)"),
        Just("`id`"),
        Just("\n"),
        Just("\\"),
        Just("-n"),
        Just("*"),
        Just("~"),
        Just("#"),
        Just("; exit 3"),
        Just("é漢"),
        Just(" "),
        Just("a"),
        Just("$HOME"),
        Just("!"),
        Just("\t"),
        Just("|"),
        Just("%s"),
        Just("{a,b}"),
        Just("\r"),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_value_is_one_word_and_never_code(value in hostile()) {
        let mut values = Values::new();
        values.set("value", &value);
        let template = "printf %s- {{ value }} end\nV={{ value }}\nprintf %s \"$V\"";
        let by_minijinja = render_site_template("t", template, &values).unwrap();
        let mut word = String::new();
        askama::filters::Escaper::write_escaped_str(&ShellEscaper, &mut word, &value).unwrap();
        let by_escaper = template.replace("{{ value }}", &word);
        prop_assert_eq!(&by_minijinja, &by_escaper);
        let output = sh(&by_minijinja);
        prop_assert!(output.status.success());
        prop_assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{value}-end-{value}"));
    }

    /// The same by askama, in a script that a host really gets.
    #[test]
    fn a_built_in_script_assigns_what_it_was_given(value in hostile()) {
        let mut values = Values::new();
        for name in ["paas_user", "paas_home", "own_address"] {
            values.set(name, &value);
        }
        let catalog = catalog();
        let script = catalog.get("nats").unwrap().render(Action::Health, &values).unwrap();
        let (head, _) = script.split_once("\nlog() {").unwrap();
        let output = sh(&format!(
            "{head}\nprintf '%s-%s-%s' \"$PAAS_USER\" \"$PAAS_HOME\" \"$OWN_ADDRESS\"\n"
        ));
        prop_assert!(output.status.success());
        let expected = format!("{value}-{value}-{value}");
        prop_assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }

    #[test]
    fn a_value_in_pieces_is_still_one_word(pieces in proptest::collection::vec(hostile(), 1..4)) {
        let mut word = String::new();
        for piece in &pieces {
            askama::filters::Escaper::write_escaped_str(&ShellEscaper, &mut word, piece).unwrap();
        }
        let output = sh(&format!("printf %s- {word} end"));
        let expected = format!("{}-end-", pieces.concat());
        prop_assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
}

#[test]
fn a_nul_is_refused_with_the_values_name() {
    let catalog = catalog();
    let mut cluster = cluster("config/cluster.yml", &catalog);
    let place = Place::new(7, 3);
    cluster
        .vars
        .insert("domain".to_owned(), ("a\0b".into(), place));
    let component = cluster.component("dea_ng").unwrap();
    let secrets = secrets();
    let instance = &component.instances[0];
    let context = Context {
        cluster: &cluster,
        component,
        instance,
        secrets: &secrets,
        site_packages: None,
    };
    let error = catalog.get("dea_ng").unwrap().values(&context).unwrap_err();
    assert!(error.message.contains("domain"), "{error}");
    assert_eq!(error.place, Some(place));
}

#[test]
fn a_nul_is_found_wherever_a_template_could_reach_it() {
    for value in [
        serde_json::json!("\0"),
        serde_json::json!(["a", "b\0"]),
        serde_json::json!({"a": {"b": ["\0c"]}}),
        serde_json::json!({"a\0": 1}),
    ] {
        let mut values = Values::new();
        values.set("fine", "a");
        values.set("bad", &value);
        assert_eq!(
            values.with_nul().map(|(name, _)| name),
            Some("bad"),
            "{value}"
        );
    }
}
