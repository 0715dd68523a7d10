//! The JSON directives of the system that this replaces, so that existing runbooks go on working:
//! `{"action": "FailoverGlobalKS", "ks_master_zone": "global2a"}`.

use serde_json::{Map, Value};

use super::database::Db;
use crate::cluster_file;

/// A directive that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Directive {
    /// `GetGlobalKSInfo`.
    Info,
    /// `CheckPG`.
    CheckPg(Db),
    /// `RecoverPG`.
    RecoverPg {
        /// Which database.
        db: Db,
        /// The server that is, or is to be, the primary.
        primary: String,
    },
    /// `FailoverGlobalKS`.
    Failover {
        /// The room that is to serve.
        to: String,
        /// The zone that the disaster took.
        disaster_zone: Option<String>,
    },
    /// `FailbackGlobalKS`.
    Failback {
        /// The room that is to serve again.
        to: String,
    },
    /// `ModifyZoneAttributes`.
    SetZone {
        /// The zone.
        zone: String,
        /// `faulty` or `active`.
        status: String,
    },
    /// `ActiveDisasterZone`.
    ActivateZone {
        /// The zone.
        zone: String,
    },
}

/// Why a directive isn't understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DirectiveError(String);

/// The actions with their fields; those with a question mark may be left out.
const ACTIONS: [(&str, &[&str]); 7] = [
    ("GetGlobalKSInfo", &[]),
    ("CheckPG", &["db_name"]),
    ("RecoverPG", &["db_name", "pg_master"]),
    ("FailoverGlobalKS", &["ks_master_zone", "disaster_zone?"]),
    ("FailbackGlobalKS", &["ks_master_zone"]),
    ("ModifyZoneAttributes", &["zone", "status"]),
    ("ActiveDisasterZone", &["recover_zone"]),
];

/// Reads a directive.
///
/// # Errors
/// What isn't JSON, or names an action or field that there isn't: with the nearest known one.
pub fn parse_directive(text: &str) -> Result<Directive, DirectiveError> {
    let fail = |message: String| DirectiveError(message);
    let value: Value = serde_json::from_str(text)
        .map_err(|error| fail(format!("the directive isn't JSON: {error}")))?;
    let Value::Object(fields) = value else {
        return Err(fail(
            "a directive is a JSON object, such as {\"action\": \"GetGlobalKSInfo\"}".to_owned(),
        ));
    };
    if !fields.contains_key("action")
        && let Some(key) = fields
            .keys()
            .find(|key| cluster_file::nearest(key.trim(), ["action"]).is_some())
    {
        return Err(fail(format!(
            "the directive has no \"action\", but {key:?}; did you mean \"action\"?"
        )));
    }
    let action = text_of(&fields, "action")?;
    let names = || ACTIONS.iter().map(|(name, _)| *name);
    let Some((_, known)) = ACTIONS.iter().find(|(name, _)| *name == action) else {
        return Err(fail(format!(
            "there is no action {action:?}; {}",
            nearest(&action, names())
        )));
    };
    let plain = |field: &&str| field.trim_end_matches('?').to_owned();
    let all: Vec<String> = known.iter().map(plain).collect();
    for name in fields.keys().filter(|name| *name != "action") {
        if !all.contains(name) {
            return Err(fail(format!(
                "{action} has no field {name:?}; {}",
                nearest(name, all.iter().map(String::as_str))
            )));
        }
    }
    let field = |name: &str| text_of(&fields, name);
    let db = || match field("db_name")?.as_str() {
        "global" => Ok(Db::Global),
        "recovery" => Ok(Db::Recovery),
        other => Err(fail(format!(
            "db_name is {other:?}; it's \"global\" or \"recovery\""
        ))),
    };
    Ok(match action.as_str() {
        "GetGlobalKSInfo" => Directive::Info,
        "CheckPG" => Directive::CheckPg(db()?),
        "RecoverPG" => Directive::RecoverPg {
            db: db()?,
            primary: field("pg_master")?,
        },
        "FailoverGlobalKS" => Directive::Failover {
            to: field("ks_master_zone")?,
            disaster_zone: match fields.contains_key("disaster_zone") {
                true => Some(field("disaster_zone")?),
                false => None,
            },
        },
        "FailbackGlobalKS" => Directive::Failback {
            to: field("ks_master_zone")?,
        },
        "ModifyZoneAttributes" => Directive::SetZone {
            zone: field("zone")?,
            status: match field("status")?.as_str() {
                status @ ("faulty" | "active") => status.to_owned(),
                other => {
                    return Err(fail(format!(
                        "status is {other:?}; it's \"faulty\" or \"active\""
                    )));
                }
            },
        },
        _ => Directive::ActivateZone {
            zone: field("recover_zone")?,
        },
    })
}

fn text_of(fields: &Map<String, Value>, name: &str) -> Result<String, DirectiveError> {
    match fields.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(DirectiveError(format!(
            "{name} is {other}; a text is expected"
        ))),
        None => Err(DirectiveError(format!("the directive has no {name:?}"))),
    }
}

fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    match cluster_file::nearest(given.trim(), known.iter().copied()) {
        Some(name) => format!("did you mean {name:?}?"),
        None => format!("known: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_directives_are_understood() {
        let read = |text: &str| parse_directive(text).unwrap();
        assert_eq!(read(r#"{"action": "GetGlobalKSInfo"}"#), Directive::Info);
        assert_eq!(
            read(r#"{"action": "CheckPG", "db_name": "recovery"}"#),
            Directive::CheckPg(Db::Recovery)
        );
        assert_eq!(
            read(
                r#"{"action": "FailoverGlobalKS", "ks_master_zone":"global2a","disaster_zone": "alpha"}"#
            ),
            Directive::Failover {
                to: "global2a".into(),
                disaster_zone: Some("alpha".into())
            }
        );
        assert_eq!(
            read(
                r#"{"action": "RecoverPG", "db_name": "recovery", "pg_master": "a-recoverypgserver0"}"#
            ),
            Directive::RecoverPg {
                db: Db::Recovery,
                primary: "a-recoverypgserver0".into()
            }
        );
        assert_eq!(
            read(r#"{"action": "FailbackGlobalKS", "ks_master_zone": "global1a"}"#),
            Directive::Failback {
                to: "global1a".into()
            }
        );
        assert_eq!(
            read(r#"{"action": "ModifyZoneAttributes", "zone": "alpha", "status": "faulty"}"#),
            Directive::SetZone {
                zone: "alpha".into(),
                status: "faulty".into()
            }
        );
        assert_eq!(
            read(r#"{"action": "ActiveDisasterZone", "recover_zone": "alpha"}"#),
            Directive::ActivateZone {
                zone: "alpha".into()
            }
        );
    }

    #[test]
    fn what_is_misspelt_is_refused_with_the_nearest_known() {
        let error = |text: &str| parse_directive(text).unwrap_err().to_string();
        // The space is in an example of the seed's.
        let said = error(r#"{"action": "FailbackGlobalKS ", "ks_master_zone":"global1a"}"#);
        assert!(
            said.contains("did you mean \"FailbackGlobalKS\"?"),
            "{said}"
        );
        let said = error(r#"{"action": "FailoverGlobalKS", "ks_master_zon":"global1a"}"#);
        assert!(said.contains("did you mean \"ks_master_zone\"?"), "{said}");
        assert!(error(r#"{"action": "CheckPG", "db_name": "zone"}"#).contains("\"recovery\""));
        assert!(error(r#"{"action": "CheckPG"}"#).contains("no \"db_name\""));
        assert!(error(r#"{"action": "CheckPG", "db_name": 1}"#).contains("a text is expected"));
        let said = error(r#"{"acton": "GetGlobalKSInfo"}"#);
        assert!(said.contains("did you mean \"action\"?"), "{said}");
        assert!(error("[]").contains("JSON object"));
        assert!(error("{").contains("isn't JSON"));
    }
}
