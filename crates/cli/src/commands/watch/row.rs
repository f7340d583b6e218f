//! One policy as a line, in columns as kubectl makes them.

use kube::ResourceExt as _;
use kube::core::DeserializeGuard;
use leeward_api::PlacementPolicy;
use leeward_api::policy::Mode;
use leeward_api::policy_status::{OperationStatus, PlacementPolicyStatus};
use leeward_api::vocabulary::ActionType;

use crate::output::{self, amount};

/// Blanks between columns.
const GAP: usize = 3;
/// The most moves that are named.
const NAMED: usize = 3;
/// The head of the column of modes.
const MODE: &str = "MODE";
/// The suffix of a suspended policy's mode; the column has space for it from the start.
const SUSPENDED: &str = " (suspended)";

/// Namespace and name.
pub type RowKey = (String, String);

/// The cells behind the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRow([String; 7]);

impl PolicyRow {
    /// The row of a policy that is gone.
    pub fn deleted(mut self) -> Self {
        let [.., operations] = &mut self.0;
        "deleted".clone_into(operations);
        self
    }
}

/// The row of an object, which may be one that cannot be read.
pub fn of(object: &DeserializeGuard<PlacementPolicy>) -> (RowKey, PolicyRow) {
    let key = (object.namespace().unwrap_or_default(), object.name_any());
    let row = if let Ok(policy) = &object.0 {
        row(policy)
    } else {
        let mut cells: [String; 7] = Default::default();
        "cannot be read".clone_into(&mut cells[6]);
        PolicyRow(cells)
    };
    (key, row)
}

fn row(policy: &PlacementPolicy) -> PolicyRow {
    let nothing = PlacementPolicyStatus::default();
    let status = policy.status.as_ref().unwrap_or(&nothing);
    let condition = |wanted: &str| {
        status
            .conditions
            .iter()
            .find(|condition| condition.type_ == wanted)
    };
    let account = status.account.as_ref();
    let mode = if policy.spec.suspend {
        format!("{}{SUSPENDED}", policy.spec.mode)
    } else {
        policy.spec.mode.to_string()
    };
    let cells = [
        account.map(|account| account.name.as_ref().unwrap_or(&account.id).clone()),
        Some(mode),
        status.home.as_ref().map(|home| home.location.clone()),
        status.in_place.clone(),
        condition("Ready").map(|condition| condition.status.clone()),
        condition("InPlace").map(|condition| condition.reason.clone()),
        Some(in_flight(&status.operations)),
    ];
    PolicyRow(cells.map(|cell| sanitized(&cell.unwrap_or_default())))
}

/// Names come from servers: none of them may move the cursor.
fn sanitized(text: &str) -> String {
    text.chars().map(output::sanitized).collect()
}

/// Operations in flight, such as `2 step-downs, 1 moving (ORDERS → us-east)`.
fn in_flight(operations: &[OperationStatus]) -> String {
    let is_move = |operation: &&OperationStatus| match operation.action {
        ActionType::StreamPlacement => true,
        ActionType::ConsumerStepDown | ActionType::StreamStepDown | ActionType::ConsumerEvacuation => false,
    };
    let moves: Vec<&OperationStatus> = operations.iter().filter(is_move).collect();
    let mut parts = Vec::new();
    let step_downs = operations.len() - moves.len();
    if step_downs > 0 {
        parts.push(amount::counted(step_downs, "step-down"));
    }
    if !moves.is_empty() {
        let names = moves.iter().map(|operation| match &operation.to {
            Some(to) => format!("{} → {to}", operation.stream),
            None => operation.stream.clone(),
        });
        let names = amount::names(names, NAMED);
        parts.push(format!("{} moving ({names})", moves.len()));
    }
    parts.join(", ")
}

/// Columns: as wide as the first list needs, and wider only for what does not fit.
#[derive(Debug)]
pub struct ColumnWidths {
    namespaces: bool,
    widths: Vec<usize>,
}

impl ColumnWidths {
    /// With or without the namespace.
    pub fn new(namespaces: bool) -> Self {
        Self {
            namespaces,
            widths: Vec::new(),
        }
    }

    /// Lines of rows, the first ones under a head.
    pub fn lines<'a>(&mut self, rows: impl IntoIterator<Item = (&'a RowKey, &'a PolicyRow)>) -> String {
        let mut lines: Vec<Vec<String>> = rows.into_iter().map(|(key, row)| self.cells(key, row)).collect();
        if lines.is_empty() {
            return String::new();
        }
        if self.widths.is_empty() {
            lines.insert(0, self.head());
            self.widths = lines[0].iter().map(|head| least(head)).collect();
        }
        for line in &lines {
            for (width, cell) in self.widths.iter_mut().zip(line) {
                *width = (*width).max(unicode_width::UnicodeWidthStr::width(cell.as_str()));
            }
        }
        lines.iter().map(|line| self.line(line)).collect()
    }

    fn head(&self) -> Vec<String> {
        let heads = [
            "NAME",
            "ACCOUNT",
            MODE,
            "HOME",
            "IN-PLACE",
            "READY",
            "REASON",
            "OPERATIONS",
        ];
        let namespace = self.namespaces.then_some("NAMESPACE");
        namespace.into_iter().chain(heads).map(str::to_owned).collect()
    }

    fn cells(&self, key: &RowKey, row: &PolicyRow) -> Vec<String> {
        let (namespace, name) = key;
        let namespace = self.namespaces.then(|| namespace.clone());
        let names = namespace.into_iter().chain([name.clone()]);
        names.chain(row.0.iter().cloned()).collect()
    }

    fn line(&self, cells: &[String]) -> String {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(&self.widths) {
            let blanks = width.saturating_sub(unicode_width::UnicodeWidthStr::width(cell.as_str())) + GAP;
            line.push_str(cell);
            line.push_str(&" ".repeat(blanks));
        }
        line.trim_end().to_owned() + "\n"
    }
}

/// The least width of a column.
fn least(head: &str) -> usize {
    if head == MODE {
        Mode::Enforce.to_string().len() + SUSPENDED.len()
    } else {
        0
    }
}
