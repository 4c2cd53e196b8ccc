//! `worker_cpu_affinity`: masks of CPUs, or `auto`.

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

/// The directive as written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Affinity {
    /// One CPU a worker, in turn, from these, or from all this process may use.
    Auto(Option<Vec<usize>>),
    /// The CPUs of each worker.
    Masks(Vec<Vec<usize>>),
}

/// Reads the arguments; the error is nginx's message.
pub(super) fn parse(words: &[&str]) -> Result<Affinity, String> {
    match words {
        ["auto"] => Ok(Affinity::Auto(None)),
        ["auto", word] => mask(word).map(|cpus| Affinity::Auto(Some(cpus))),
        ["auto", ..] => Err("invalid number of arguments in \"worker_cpu_affinity\" directive".to_owned()),
        words => words.iter().map(|word| mask(word)).collect::<Result<_, _>>().map(Affinity::Masks),
    }
}

/// The CPUs of a bit mask; the last digit stands for CPU 0.
fn mask(word: &str) -> Result<Vec<usize>, String> {
    if word.len() > CpuSet::count() {
        return Err(format!("\"worker_cpu_affinity\" supports up to {} CPUs only", CpuSet::count()));
    }
    if let Some(other) = word.chars().find(|character| !matches!(character, '0' | '1')) {
        return Err(format!("invalid character \"{other}\" in \"worker_cpu_affinity\""));
    }
    Ok(word.bytes().rev().enumerate().filter(|(_, byte)| *byte == b'1').map(|(cpu, _)| cpu).collect())
}

impl Affinity {
    /// The CPUs of each worker; fewer sets than workers: the last serves the rest.
    pub(super) fn resolve(self, workers: usize) -> Vec<Vec<usize>> {
        let cpus = match self {
            Affinity::Masks(masks) => return masks,
            Affinity::Auto(Some(cpus)) => cpus,
            Affinity::Auto(None) => allowed(),
        };
        cpus.iter().cycle().take(workers).map(|&cpu| vec![cpu]).collect()
    }
}

fn allowed() -> Vec<usize> {
    match sched_getaffinity(Pid::from_raw(0)) {
        Ok(set) => (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).collect(),
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_count_from_the_right() {
        assert_eq!(parse(&["0001", "1010"]), Ok(Affinity::Masks(vec![vec![0], vec![1, 3]])));
        assert_eq!(parse(&["auto", "110"]), Ok(Affinity::Auto(Some(vec![1, 2]))));
        assert_eq!(parse(&["012"]), Err("invalid character \"2\" in \"worker_cpu_affinity\"".to_owned()));
        assert_eq!(
            parse(&["auto", "1", "1"]),
            Err("invalid number of arguments in \"worker_cpu_affinity\" directive".to_owned())
        );
        assert!(parse(&["0".repeat(2000).as_str()]).unwrap_err().contains("supports up to"));
    }

    #[test]
    fn auto_goes_round() {
        assert_eq!(Affinity::Auto(Some(vec![1, 2])).resolve(3), [vec![1], vec![2], vec![1]]);
        assert_eq!(Affinity::Auto(Some(vec![])).resolve(3), Vec::<Vec<usize>>::new());
        assert_eq!(Affinity::Auto(None).resolve(5).len(), 5);
    }
}
