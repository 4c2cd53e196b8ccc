//! `-t` and `-T`: reads the configuration, tries all that a start would open, and says whether it would work.

use std::fmt;
use std::io::{self, Write};
use std::mem;

use crate::config::{self, Config, Source};

use super::cycle::open_logs;
use super::options::Options;
use super::{Logged, listeners, pidfile, start};

/// Tests the configuration; all that is found is on stderr.
pub fn run(source: &Source, options: &Options) -> Result<(), Logged> {
    let mut loaded = config::load(source);
    let files = mem::take(&mut loaded.files);
    let file = source.file.display();
    let parsed = || {
        if !options.quiet {
            say(format_args!("the configuration file {file} syntax is ok"));
        }
    };
    let result = start::report(loaded, source, parsed).and_then(open_everything);
    if result.is_err() {
        say(format_args!("configuration file {file} test failed"));
        return result;
    }
    if !options.quiet {
        say(format_args!("configuration file {file} test is successful"));
    }
    if options.dump {
        // Nobody who would hear of it is left when stdout is closed.
        let _ = dump(&files, &mut io::stdout().lock());
    }
    Ok(())
}

fn open_everything(mut config: Config) -> Result<(), Logged> {
    pidfile::check(&config.main.pid)?;
    open_logs(&mut config)?;
    listeners::check(&config.listens)
}

fn say(text: fmt::Arguments) {
    let _ = writeln!(io::stderr(), "weir: {text}");
}

fn dump(files: &[(std::path::PathBuf, Vec<u8>)], out: &mut impl Write) -> io::Result<()> {
    for (path, contents) in files {
        writeln!(out, "# configuration file {}:", path.display())?;
        out.write_all(contents)?;
        writeln!(out)?;
    }
    out.flush()
}
