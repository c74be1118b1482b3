//! The one table that all comes to.

use netform::kernel::count::Counts;

use crate::manifest::Size;
use crate::measure::Cost;
use crate::round::{CASES, Case, Sample, Who};

/// Prints the head of the table.
pub fn head() {
    println!(
        "| case | attachments / networks | ms | limit ms | ratio | CPU ms | limit CPU ms | peak MiB | \
         requests | nft transactions |"
    );
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
}

/// Prints netform's rows of one size.
pub fn rows(size: Size, cases: &[Case], samples: &[Sample]) {
    for (case, name) in CASES.into_iter().filter(|(case, _)| cases.contains(case)) {
        let netform = costs(samples, case, Who::Netform);
        let counts = samples.iter().filter(|sample| sample.case == case).find_map(|sample| sample.counts);
        row(name, size, (&netform, &costs(samples, case, Who::Floor)), counts);
    }
}

/// Returns what a case cost in each round.
pub fn costs(samples: &[Sample], case: Case, who: Who) -> Vec<Cost> {
    let of = samples.iter().filter(|sample| (sample.case, sample.who) == (case, who));
    of.filter(|sample| sample.counts.is_none()).map(|sample| sample.cost).collect()
}

/// Prints a row: medians, and of the ratio the median of the rounds' ratios.
pub fn row(name: &str, size: Size, (costs, floor): (&[Cost], &[Cost]), counts: Option<Counts>) {
    let pairs = costs.iter().zip(floor);
    let ratio = median(pairs.map(|(cost, floor)| cost.wall_us as f64 / floor.wall_us as f64).collect());
    let ms = |costs: &[Cost], field: fn(&Cost) -> u64| {
        median(costs.iter().map(|cost| field(cost) as f64 / 1000.0).collect())
    };
    let memory = median(costs.iter().map(|cost| cost.rss_kib as f64 / 1024.0).collect());
    let (requests, transactions) = counts.map_or_else(
        || ("-".to_owned(), "-".to_owned()),
        |counts| (counts.requests.to_string(), counts.transactions.to_string()),
    );
    println!(
        "| {name} | {} / {} | {:.1} | {:.1} | {ratio:.2} | {:.1} | {:.1} | {memory:.0} | {requests} | {transactions} |",
        thousands(size.attachments),
        size.networks,
        ms(costs, |cost| cost.wall_us),
        ms(floor, |cost| cost.wall_us),
        ms(costs, |cost| cost.cpu_us),
        ms(floor, |cost| cost.cpu_us),
    );
}

/// Returns the median; of nothing it is not a number.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

fn thousands(number: usize) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", number / 1000, number % 1000) }
}
