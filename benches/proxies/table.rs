//! What was measured, as tables.

use crate::contender::{Contender, Kind};
use crate::workload::{Target, Workload};

/// One measurement.
#[derive(Clone, Copy)]
pub struct Sample {
    /// In the workload's unit; less is better.
    pub cost: f64,
    /// Units of work a second of the clock.
    pub rate: f64,
}

/// All measurements of one contender.
pub struct Row {
    pub contender: Contender,
    pub samples: Vec<Sample>,
    /// In the place of a rate.
    pub note: Option<String>,
}

/// All measurements of a workload.
pub struct Table {
    /// How much of what.
    pub subject: String,
    pub rows: Vec<Row>,
}

impl Row {
    pub fn of(contender: &Contender) -> Row {
        Row { contender: contender.clone(), samples: Vec::new(), note: None }
    }

    fn costs(&self) -> Vec<f64> {
        self.samples.iter().map(|sample| sample.cost).collect()
    }

    fn cost(&self) -> f64 {
        median(self.costs())
    }
}

/// The middle one of some numbers, or what is halfway between the two in the middle.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    if numbers.is_empty() {
        f64::NAN
    } else if numbers.len() % 2 == 1 {
        numbers[middle]
    } else {
        (numbers[middle - 1] + numbers[middle]) / 2.0
    }
}

impl Table {
    /// For a terminal.
    pub fn text(&self, workload: &Workload) -> String {
        let cells = self.cells(workload);
        let widths: Vec<usize> =
            (0..cells[0].len()).map(|column| cells.iter().map(|row| row[column].len()).max().unwrap_or(0)).collect();
        let mut text = format!("{}: {} ({})\n", workload.name, workload.title, self.subject);
        for row in &cells {
            let line: Vec<String> = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(
                    |(column, (cell, &width))| {
                        if column == 0 { format!("{cell:width$}") } else { format!("{cell:>width$}") }
                    },
                )
                .collect();
            text.push_str(&format!("  {}\n", line.join("   ")));
        }
        for verdict in self.verdicts(workload) {
            text.push_str(&format!("  {verdict}\n"));
        }
        text
    }

    /// For a document.
    pub fn markdown(&self, workload: &Workload) -> String {
        let mut text = format!("**{}**: {} ({})\n\n", workload.name, workload.title, self.subject);
        for (number, row) in self.cells(workload).iter().enumerate() {
            text.push_str(&format!("| {} |\n", row.join(" | ")));
            if number == 0 {
                text.push_str(&format!("|---|{}\n", "---:|".repeat(row.len() - 1)));
            }
        }
        text.push('\n');
        for verdict in self.verdicts(workload) {
            text.push_str(&format!("- {verdict}\n"));
        }
        text
    }

    /// The heading and a line of cells for each contender.
    fn cells(&self, workload: &Workload) -> Vec<Vec<String>> {
        let (unit, digits) = workload.unit;
        let mut heading: Vec<String> = [unit, "min", "median", "max", "to best peer"].map(str::to_string).to_vec();
        heading.push(workload.rate.map_or("", |(unit, _)| unit).to_string());
        let best = self.best(Contender::is_peer);
        let rows = self.rows.iter().map(|row| {
            let costs = row.costs();
            let (least, most) =
                (costs.iter().copied().fold(f64::INFINITY, f64::min), costs.iter().copied().fold(0.0, f64::max));
            let mut cells = vec![row.contender.name.clone()];
            cells.extend([least, row.cost(), most].map(|cost| format!("{cost:.digits$}")));
            cells.push(best.map_or("-".to_string(), |best| format!("{:.2}", row.cost() / best.cost())));
            cells.push(match (&row.note, workload.rate) {
                (Some(note), _) => note.clone(),
                (None, Some((_, digits))) => {
                    format!("{:.digits$}", median(row.samples.iter().map(|sample| sample.rate).collect()))
                }
                (None, None) => String::new(),
            });
            cells
        });
        std::iter::once(heading).chain(rows).collect()
    }

    /// The cheapest of some contenders.
    fn best(&self, among: impl Fn(&Contender) -> bool) -> Option<&Row> {
        self.rows.iter().filter(|row| among(&row.contender)).min_by(|one, other| one.cost().total_cmp(&other.cost()))
    }

    /// What each weir has reached of the targets that can be judged.
    fn verdicts(&self, workload: &Workload) -> Vec<String> {
        let (unit, digits) = workload.unit;
        let mut verdicts = Vec::new();
        for row in self.rows.iter().filter(|row| row.contender.is_weir()) {
            for target in workload.targets {
                let (limit, what, value, digits) = match target {
                    Target::OfBest(limit, kinds) => {
                        let Some(best) = self.best(|contender| kinds.contains(&contender.kind)) else { continue };
                        (*limit, format!("times {}", best.contender.name), row.cost() / best.cost(), 2)
                    }
                    Target::AtMost(limit) => (*limit, unit.to_string(), row.cost(), digits),
                };
                let verdict = if value <= limit { "reached" } else { "missed" };
                verdicts.push(format!(
                    "{}: target at most {limit:.digits$} {what}: {value:.digits$}, {verdict}",
                    row.contender.name
                ));
            }
        }
        verdicts
    }
}

/// The name a kind goes by, in options and tables.
pub fn name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Weir(_) => "weir",
        Kind::Nginx => "nginx",
        Kind::Haproxy => "haproxy",
        Kind::HaproxySplice => "haproxy-splice",
        Kind::SpliceLoop => "splice-loop",
    }
}
