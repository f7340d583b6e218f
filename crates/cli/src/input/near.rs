//! Words that were meant to be others.

/// The known word that a word was probably meant to be; nothing if it is one of them.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let mut nearest: Option<(usize, &'k str)> = None;
    for known in known {
        if known == word {
            return None;
        }
        if let Some(distance) = near(word, known)
            && nearest.is_none_or(|(least, _)| distance < least)
        {
            nearest = Some((distance, known));
        }
    }
    nearest.map(|(_, known)| known)
}

/// Whether a word was probably meant to be another.
pub fn is_near(word: &str, other: &str) -> bool {
    word != other && near(word, other).is_some()
}

/// How far two words are apart, if that is not far: `num_replicas` is `numReplicas`, and one letter of four may be wrong.
fn near(word: &str, other: &str) -> Option<usize> {
    let (word, other) = (letters(word), letters(other));
    let most = (word.len().min(other.len()) / 4).min(3);
    if word.len().abs_diff(other.len()) > most {
        return None;
    }
    Some(distance(&word, &other)).filter(|distance| *distance <= most)
}

fn letters(word: &str) -> Vec<char> {
    // Longer words are nobody's mistyped ones.
    let letters = word
        .chars()
        .take(100)
        .filter(|letter| !matches!(letter, '_' | '-'));
    letters.flat_map(char::to_lowercase).collect()
}

/// Letters to change, to add, to leave out, or to swap with the next one.
fn distance(one: &[char], other: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, letter) in one.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, wanted) in other.iter().enumerate() {
            let changed = row[j] + usize::from(letter != wanted);
            let mut least = changed.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && *letter == other[j - 1] && one[i - 1] == *wanted {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_one_wrong_letter_in_four_are_near() {
        let known = ["Stream", "Consumer", "KeyValue", "replicas", "tags"];
        for (word, meant) in [
            ("Steam", Some("Stream")),
            ("stream", Some("Stream")),
            ("Streams", Some("Stream")),
            ("Conusmer", Some("Consumer")),
            ("key_value", Some("KeyValue")),
            ("replcias", Some("replicas")),
            ("tasg", Some("tags")),
            ("Stream", None),
            ("Deployment", None),
            ("", None),
            ("bags of air", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
        assert!(is_near("leeward.dve", "leeward.dev"));
        assert!(!is_near("apps", "leeward.dev"));
    }
}
