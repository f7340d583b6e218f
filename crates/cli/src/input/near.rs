//! Misspelt words.

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

/// Whether a word is one of those that are known, or was probably meant to be.
pub fn is_like_any(word: &str, known: &[&str]) -> bool {
    known.iter().any(|known| word == *known || is_near(word, known))
}

/// Whether a word was probably meant to be another.
pub fn is_near(word: &str, other: &str) -> bool {
    word != other && near(word, other).is_some()
}

/// How far two words are apart, if not far: `num_replicas` is `numReplicas`, and one letter of four may be wrong.
fn near(word: &str, other: &str) -> Option<usize> {
    let (word, other) = (letters(word), letters(other));
    let lengths = (word.chars().count(), other.chars().count());
    let most = (lengths.0.min(lengths.1) / 4).min(3);
    if lengths.0.abs_diff(lengths.1) > most {
        return None;
    }
    // Letters to change, to add, to leave out, or to swap with the next one.
    Some(strsim::osa_distance(&word, &other)).filter(|distance| *distance <= most)
}

/// A name without what languages write differently.
pub fn letters(name: &str) -> String {
    // Longer words are not typing errors.
    let letters = name
        .chars()
        .take(100)
        .filter(|letter| !matches!(letter, '_' | '-'));
    letters.flat_map(char::to_lowercase).collect()
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
