//! Finds the known name that somebody probably meant.

/// Finds the name nearest to `given`, if one is near enough to be meant.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = given.to_lowercase();
    known
        .into_iter()
        .map(|name| {
            (
                strsim::damerau_levenshtein(&lower, &name.to_lowercase()),
                name,
            )
        })
        // A third of the letters may be wrong; more than that is another word.
        .filter(|(distance, name)| *distance <= given.chars().count().max(name.len()).div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Says `did you mean …` for the nearest known name, or else lists all of them.
pub fn suggest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(given, known.iter().copied()) {
        Some(name) => Some(format!("did you mean `{name}`?")),
        None if known.is_empty() => None,
        None => Some(format!("known here: {}", known.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_leaves_other_words_alone() {
        let known = ["components", "server", "canaries"];
        assert_eq!(nearest("component", known), Some("components"));
        assert_eq!(nearest("sevrer", known), Some("server"));
        assert_eq!(nearest("Server", known), Some("server"));
        assert_eq!(nearest("volumes", known), None);
        assert_eq!(
            suggest("volumes", known).as_deref(),
            Some("known here: components, server, canaries")
        );
        assert_eq!(suggest("volumes", []), None);
    }
}
