//! Blots secrets out of a text that somebody will read.

/// What stands in place of a secret.
const BLOT: &str = "[secret]";

/// Returns the text without any of these forms of a secret.
pub fn blotted(text: &str, forms: &[String]) -> String {
    let mut forms: Vec<&String> = forms.iter().filter(|form| !form.is_empty()).collect();
    // A form that holds another one has to go first.
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    let mut text = text.to_owned();
    for form in forms {
        if text.contains(form.as_str()) {
            text = text.replace(form.as_str(), BLOT);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_goes_and_the_longest_first() {
        let forms = ["pass word", "'pass word'", ""].map(str::to_owned);
        assert_eq!(
            blotted("a 'pass word' and pass word", &forms),
            "a [secret] and [secret]"
        );
    }
}
