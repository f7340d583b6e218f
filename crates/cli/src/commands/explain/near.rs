//! Which names a person may have meant.

/// More would not help.
const MOST: usize = 5;

/// Names like the wanted one, the nearest first: those that hold it or that it holds, and those with few other letters.
pub(super) fn near<'n>(wanted: &str, names: &[&'n str]) -> Vec<&'n str> {
    let wanted = wanted.to_lowercase();
    let most = (wanted.chars().count() / 3).max(1);
    let mut ranked: Vec<(usize, &str)> = names
        .iter()
        .filter_map(|name| {
            let lower = name.to_lowercase();
            let distance = strsim::levenshtein(&wanted, &lower);
            let alike = distance <= most || lower.contains(&wanted) || wanted.contains(&lower);
            alike.then_some((distance, *name))
        })
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().take(MOST).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use strsim::levenshtein as distance;

    use super::*;

    #[test]
    fn letters_that_differ_are_counted() {
        assert_eq!(distance("orders", "orders"), 0);
        assert_eq!(distance("ordres", "orders"), 2);
        assert_eq!(distance("order", "orders"), 1);
        assert_eq!(distance("", "orders"), 6);
        assert_eq!(distance("orders", ""), 6);
    }

    #[test]
    fn near_names_come_nearest_first_and_are_few() {
        let names = [
            "ORDERS",
            "ORDERS-DLQ",
            "PAYMENTS",
            "ODERS",
            "KV_orders_1",
            "KV_orders_2",
            "KV_orders_3",
        ];
        assert_eq!(near("ordres", &names), ["ORDERS"]);
        assert_eq!(
            near("orders", &names),
            ["ORDERS", "ODERS", "ORDERS-DLQ", "KV_orders_1", "KV_orders_2"]
        );
        assert!(near("inventory", &names).is_empty());
    }
}
