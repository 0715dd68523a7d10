//! Scripts as a template could render them, for a shell to read before any host does: each branch of
//! each block, with a variable in place of each value.

use super::template::{self, Piece};

/// Stands for a value. It's a variable, so that no reader of the script draws conclusions from it.
const WORD: &str = "${value}";

/// More scripts than this aren't made of one template.
const MAX_TRIALS: usize = 16;

/// One way through a template's blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// The script.
    pub script: String,
    /// The template's line of each line of the script.
    lines: Vec<u32>,
}

impl Trial {
    /// Returns the template's line that a line of the script comes from, both from 1.
    pub fn template_line(&self, line: u32) -> u32 {
        let at = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
        let last = self.lines.last().copied().unwrap_or(1);
        self.lines.get(at).copied().unwrap_or(last)
    }
}

/// Makes the scripts: every block taken, none taken, and each one alone not taken.
///
/// A template that can't be read makes those that its readable parts make.
pub fn trials(text: &str) -> Vec<Trial> {
    let (pieces, _) = template::parse(text);
    let blocks = count(&pieces);
    let mut scripts = vec![make(&pieces, &|_| true)];
    if blocks > 0 {
        scripts.push(make(&pieces, &|_| false));
    }
    if blocks > 1 {
        scripts.extend((0..blocks).map(|left_out| make(&pieces, &|block| block != left_out)));
    }
    scripts.truncate(MAX_TRIALS);
    scripts.dedup();
    scripts
}

fn count(pieces: &[Piece]) -> usize {
    let of_piece = |piece: &Piece| match piece {
        Piece::Text { .. } | Piece::Value(_) => 0,
        Piece::If {
            then, otherwise, ..
        } => 1 + count(then) + count(otherwise),
        Piece::For { body, .. } => 1 + count(body),
    };
    pieces.iter().map(of_piece).sum()
}

fn make(pieces: &[Piece], takes: &dyn Fn(usize) -> bool) -> Trial {
    let mut trial = Trial {
        script: String::new(),
        lines: vec![1],
    };
    write(pieces, takes, &mut 0, &mut trial);
    if !trial.script.ends_with('\n') {
        trial.script.push('\n');
    }
    trial
}

/// Writes the pieces; `block` is the number of the next block, in the template's order.
fn write(pieces: &[Piece], takes: &dyn Fn(usize) -> bool, block: &mut usize, trial: &mut Trial) {
    for piece in pieces {
        match piece {
            Piece::Value(_) => trial.script.push_str(WORD),
            Piece::Text { text, place } => {
                if let Some(line) = trial.lines.last_mut()
                    && (trial.script.is_empty() || trial.script.ends_with('\n'))
                {
                    *line = place.line;
                }
                for (line, part) in (place.line..).zip(text.split_inclusive('\n')) {
                    trial.script.push_str(part);
                    if part.ends_with('\n') {
                        trial.lines.push(line.saturating_add(1));
                    }
                }
            }
            Piece::If {
                then, otherwise, ..
            } => {
                let taken = takes(*block);
                *block += 1;
                let (first, second) = (count(then), count(otherwise));
                match taken {
                    true => {
                        write(then, takes, block, trial);
                        *block += second;
                    }
                    false => {
                        *block += first;
                        write(otherwise, takes, block, trial);
                    }
                }
            }
            Piece::For { body, .. } => {
                let taken = takes(*block);
                *block += 1;
                match taken {
                    true => write(body, takes, block, trial),
                    false => *block += count(body),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scripts(text: &str) -> Vec<String> {
        trials(text).into_iter().map(|trial| trial.script).collect()
    }

    #[test]
    fn every_branch_is_in_some_script() {
        assert_eq!(scripts("a={{ b }}"), ["a=${value}\n"]);
        assert_eq!(scripts("{% if a %}1{% else %}2{% endif %}"), ["1\n", "2\n"]);
        assert_eq!(
            scripts(
                "{% if a %}1{% endif %}{% for x in y %}{{ x }}{% if z %}3{% endif %}{% endfor %}"
            ),
            ["1${value}3\n", "\n", "${value}3\n", "1\n", "1${value}\n"]
        );
    }

    #[test]
    fn a_line_of_a_script_leads_to_the_templates() {
        let text = "one\n{% if a %}\nthree\n{% else %}\nfive\n{% endif %}\nseven";
        let [all, none] = &trials(text)[..] else {
            panic!("two scripts are expected")
        };
        let line_of = |trial: &Trial, word: &str| {
            let at = trial.script.lines().position(|line| line == word).unwrap();
            trial.template_line(u32::try_from(at).unwrap() + 1)
        };
        assert_eq!([line_of(all, "three"), line_of(all, "seven")], [3, 7]);
        assert_eq!([line_of(none, "five"), line_of(none, "seven")], [5, 7]);
    }
}
