//! What a proxy costs: weir beside nginx and HAProxy on one core of this machine, in CPU time per unit of work.
//!
//! The clients and the servers behind run in this process, on another core. `scripts/bench` starts it; `docs/performance.md` says what
//! it measures and how.

mod args;
mod bulk;
mod cleanup;
mod cold;
mod configuration;
mod contender;
mod cpu;
mod hits;
mod http;
mod http_ends;
mod idle;
mod parsing;
mod ping_pong;
mod scale;
mod short;
mod splice_loop;
mod stage;
mod table;
mod tls;
mod workload;

use std::process::ExitCode;

/// What went wrong, in words for the terminal.
type Failure = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Failure>;

fn main() -> ExitCode {
    let outcome = match splice_loop::asked_for() {
        Some((listen, backend)) => splice_loop::run(listen, backend),
        None => run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let Some(options) = args::parse()? else {
        print!("{}", args::HELP);
        return Ok(());
    };
    let folder = cleanup::folder()?;
    let cores = cpu::Cores::choose()?;
    cores.pin_driver()?;
    let certificate = tls::Certificate::make(folder.path(), options.rsa)?;
    let bench = workload::Bench { options, cores, certificate, folder };
    println!("{}", bench.heading());
    for workload in &bench.options.workloads {
        let table = (workload.measure)(&bench).map_err(|failure| format!("{}: {failure}", workload.name))?;
        println!("\n{}", if bench.options.markdown { table.markdown(workload) } else { table.text(workload) });
    }
    Ok(())
}
