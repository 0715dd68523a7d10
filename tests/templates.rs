//! The law of every template: a value stands only as an unquoted shell word that is an argument or
//! is assigned, so that quoting it is enough; and the language is what both engines share.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::root;
use paas_cluster_build::cluster_file::{Place, render_problems};
use paas_cluster_build::script::{Names, check_template};

fn templates(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(templates(&path));
        } else if path.extension().is_some_and(|e| e == "sh") {
            found.push(path);
        }
    }
    found
}

#[test]
fn in_every_template_a_value_is_an_unquoted_word() {
    let mut all = templates(&root().join("cluster_jobs"));
    all.extend(
        [
            "deploy/adopt.sh",
            "deploy/home.sh",
            "deploy/init.sh",
            "deploy/installed.sh",
            "deploy/packages.sh",
            "deploy/probe.sh",
            "deploy/remove_host.sh",
        ]
        .map(|file| root().join(file)),
    );
    all.extend(templates(&root().join("deploy/ks")));
    all.extend(templates(&root().join("deploy/logs")));
    all.extend(templates(&root().join("tests/fixtures/site-jobs")));
    assert!(all.len() >= 15, "{all:?}");
    for path in all {
        let text = fs::read_to_string(&path).unwrap();
        let problems = check_template(&text, None);
        let drawn = render_problems(&path, &text, &problems, false);
        assert!(problems.is_empty(), "{drawn}");
    }
}

#[test]
fn the_lint_finds_each_misuse() {
    for bad in [
        "echo \"{{ x }}\"",
        "echo '{{ x }}'",
        "echo 'a\n{{ x }}'",
        "greeting=\"{{ x }}\"",
        "echo \"$(f {{ x }})\"",
        "# {{ x }}",
        "true # {{ x }}",
        "true\t# {{ x }}",
        "true;# {{ x }}",
        "cat <<END\n{{ x }}\nEND",
        "cat <<-'END'\n\t{{ x }}\n\tEND",
        "cat <<\\END1\n{{ x }}\nEND1",
        "cat <<A <<B\na\nA\n{{ x }}\nB",
        "cat <<END\nEND \n{{ x }}\nEND",
        "cat <<END\nx\\\nEND\n{{ x }}\nEND",
        "cat <<{{ x }}\nEND",
        "cat <<'E D'\nE\n{{ x }}\nE D",
        "echo $((1 + {{ x }}))",
        "echo $((f(1) + {{ x }}))",
        "((1 + {{ x }}))",
        "echo `echo {{ x }}`",
        "echo \"${a:-{{ x }}}\"",
        "echo ${a:-{{ x }}}",
        // A quote that isn't one where it stands.
        "echo \"it's\" '{{ x }}'",
        "echo \"a\\\"{{ x }}\"",
        "echo 'a\\'\"{{ x }}\"",
        "echo ${a#'}'{{ x }}}",
        "echo \"${a:-'}'{{ x }}\"",
        "echo ${#a}\"{{ x }}\"",
        // What takes the value's own quotes away.
        "echo \\{{ x }}",
        "echo ${{ x }}",
        "echo {{ x }}>file",
        "echo 2{{ x }}<file",
        // As a command, a name or a pattern.
        "{{ x }} --now",
        "/usr/bin/{{ x }} --now",
        "true && {{ x }}",
        "true |\n {{ x }}",
        "echo $({{ x }})",
        "A=1 {{ x }}",
        ">out {{ x }}",
        "if {{ x }}; then true; fi",
        "! {{ x }}",
        "while true; do {{ x }}; done",
        "f() { {{ x }}; }",
        "( {{ x }} )",
        "case a in a) {{ x }} ;; esac",
        "case a in {{ x }}) true ;; esac",
        "case a in b | {{ x }}) true ;; esac",
        "case a in a) true ;; {{ x }}) true ;; esac",
        "for {{ x }} in a; do true; done",
        "exec {{ x }}",
        ". {{ x }}",
        "as_user {{ x }}",
        "$f {{ x }}",
        "\"$@\" {{ x }}",
        "$(f) {{ x }}",
        "`f` {{ x }}",
        "${f:-} {{ x }}",
        "exec $f {{ x }}",
        "env A=1 {{ x }}",
        "timeout 5 {{ x }}",
        "sudo -- {{ x }}",
        // As code of another program.
        "eval {{ x }}",
        "eval set -- {{ x }}",
        "exec sh -c {{ x }}",
        "timeout 5 /bin/bash -ec {{ x }}",
        "su - paas -c {{ x }}",
        "trap {{ x }} EXIT",
        "sed -i s/a/{{ x }}/ file",
        "sed -e s/a/{{ x }}/ file",
        "awk /{{ x }}/ file",
        "awk -v a=b {{ x }} file",
        "python3 -c {{ x }}",
        "as_user psql -c {{ x }}",
        "psql --command={{ x }}",
        "ssh -p 22 host echo {{ x }}",
        // On one way through the blocks.
        "{% if a %}\"{% endif %}{{ x }}{% if a %}\"{% endif %}",
        "f {% if a %}#{% endif %} {{ x }}",
        "{% if a %}f{% endif %} {{ x }}",
        "{% for a in b %}'{% endfor %}{{ x }}",
        "f ${% if a %}(g{% endif %}",
        "echo \"{% if a %}{{ x }}{% endif %}\"",
        // Left open, they would swallow what stands behind the template.
        "echo 'a",
        "cat <<END\ntext",
        "echo $(f",
        "f $'a\\'{{ x }}",
        "f $((a) b) {{ x }}",
        "f \"${a:-'}\" {{ x }}",
        // Not in both engines' language.
        "echo {{ x|safe }}",
        "echo {{ x | upper }}",
        "{% include \"x\" %}",
        "{% set a = 1 %}",
        "{# {{ x }} #}",
        "echo ${#x} {{ x }}", // a comment to both engines
        "echo {{\nx }}",
        "echo {{- x }}",
        "{%- if x %}",
    ] {
        assert_ne!(check_template(bad, None), [], "{bad}");
    }
    for good in [
        "A={{ x }}",
        "A={{ x }} B={{ x }} f {{ x }}",
        "export A={{ x }}",
        "set_setting \"$f\" k nats://{{ x }}:4222",
        "install{% for p in packages %} {{ p }}{% endfor %}",
        "echo it\\'s {{ x }}",
        "f ${a#b} {{ x }}",
        "f $# $$ {{ x }}",
        "echo \"it's\" {{ x }} # why",
        "echo 'it' {{ x }}\"a\"{{ x }}'b'",
        "cat <<END\ntext\nEND\necho {{ x }}",
        "cat <<-END <<'B' >{{ x }}\n\t$(text)\n\tEND\n\"\nB\necho {{ x }}",
        "{% if a %}x={{ a }}{% else %}x={{ b }}{% endif %}",
        "f a \\\n\t{{ x }}",
        "f <{{ x }} >>{{ x }} 2>&1 {{ x }}",
        "x=$(f {{ x }} | g {{ x }})",
        "x=$(case a in a) f {{ x }} ;; (b) true ;; esac)",
        "case {{ x }} in a | b) f {{ x }} ;; *) true ;; esac; f {{ x }}",
        "for x in {{ x }} {{ y }}; do f {{ x }}; done",
        "f() { echo {{ x }}; }\ng() ( echo {{ x }} )",
        "if [ {{ x }} -gt 2 ]; then f {{ x }}; fi >{{ x }}",
        "(f {{ x }}; ( g {{ x }} )) | h {{ x }}",
        "f \"${a#\"$b\"/}\" {{ x }}",
        "f $((1 + (2))) {{ x }}",
        "f `g 'a'` {{ x }}",
        "f a#b {{ x }}",
        "set -- {{ x }}",
        "command -v {{ x }}",
        "env A={{ x }} f {{ x }}",
        "sh -c 'echo \"$1\"' sh {{ x }}",
        "sed -n 1p {{ x }}",
        "sed -e 1p -e 2p {{ x }}",
        "awk -v name={{ x }} '{ print name }' {{ x }}",
        "ssh -p 22 {{ x }} true",
        "services=\"$services \"{{ x }}",
        "f {{ x.y }} {{x}}",
        "\"$f\" {{ x }}",
        "$f g {{ x }}",
        "f$x {{ x }}",
        "/bin/$f {{ x }}",
        "exec \"$f\" {{ x }}",
        "timeout {{ x }} f {{ x }}",
        "sudo -u {{ x }} f",
        "{% if a %}case a in a) f {{ x }} ;; esac{% endif %}\nf {{ x }}",
    ] {
        let problems = check_template(good, None);
        let drawn = render_problems(Path::new("t.sh"), good, &problems, false);
        assert!(problems.is_empty(), "{drawn}");
    }
}

/// A person sees what is wrong, where, what began it, and what to write instead.
#[test]
fn a_misuse_is_drawn_with_what_to_write_instead() {
    let text = "listen={{ listen }}\ngreeting=\"{{ greeting }}\"\ncat >f <<END\nhello {{ name }}\n\
                END\nsed -i s/PORT/{{ port }}/ f\n{% if tls %}f {{ lsiten }}{% endif %}\n";
    let names = Names {
        known: &["listen", "greeting", "name", "port"],
        help: "declare it under `values` in job.yml",
    };
    let problems = check_template(text, Some(names));
    insta::assert_snapshot!(render_problems(
        Path::new("jobs/page/page.sh"),
        text,
        &problems,
        false
    ));
    let names_alone = check_template("f {{ greetin }}", Some(names));
    assert_eq!(names_alone[0].place, Place::new(1, 3));
    assert_eq!(names_alone[0].len, 13);
}
