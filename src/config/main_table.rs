//! The table of the main context.

use crate::conf::{Arity, Contexts, Directive, Row};

use super::main_context as set;
use super::{Builder, events};
use crate::http;
use crate::tcp;

const fn row(name: &'static str, syntax: &'static str, default: &'static str, help: &'static str) -> Row {
    Row { name, contexts: Contexts::MAIN, arity: Arity::Exactly(1), block: None, repeat: false, syntax, default, help }
}

/// The table of the main context. `include` is not in it: it may stand everywhere and is followed before directives are read.
pub static TABLE: &[Directive<Builder>] = &[
    Directive {
        row: Row {
            arity: Arity::Exactly(0),
            block: Some(Contexts::EVENTS),
            ..row("events", "{ ... }", "-", "How workers take connections; required.")
        },
        set: |builder, call| {
            builder.events_seen = true;
            call.apply(events::TABLE, &mut builder.events)
        },
    },
    Directive {
        row: Row {
            arity: Arity::Exactly(0),
            block: Some(Contexts::TCP),
            repeat: true,
            ..row("tcp", "{ ... }", "-", "What is served over plain TCP; several blocks have upstreams of their own.")
        },
        set: |builder, call| tcp::directives::tcp_block(&mut builder.tcp, call),
    },
    Directive {
        row: Row {
            arity: Arity::Exactly(0),
            block: Some(Contexts::HTTP),
            ..row("http", "{ ... }", "-", "What is served over HTTP.")
        },
        set: |builder, call| http::directives::http_block(&mut builder.http, call),
    },
    Directive {
        row: Row {
            arity: Arity::Between(1, 2),
            ..row(
                "user",
                "name [group]",
                "nobody",
                "The account workers run under when the master runs as root. Without a group, the one named like the user; the default user keeps its own group.",
            )
        },
        set: set::user,
    },
    Directive {
        row: row(
            "worker_processes",
            "number | auto",
            "1",
            "The number of workers; `auto` is one a CPU that weir may use.",
        ),
        set: set::worker_processes,
    },
    Directive {
        row: Row {
            arity: Arity::AtLeast(1),
            ..row(
                "worker_cpu_affinity",
                "mask ... | auto [mask]",
                "-",
                "Binds workers to CPUs: one bit mask a worker, the last one serves the rest; `auto` gives each worker one CPU in turn.",
            )
        },
        set: set::worker_cpu_affinity,
    },
    Directive {
        row: row(
            "worker_priority",
            "number",
            "0",
            "The nice value of workers, -20 to 20; negative ones run before others.",
        ),
        set: set::worker_priority,
    },
    Directive {
        row: row("worker_rlimit_nofile", "number", "-", "The limit of open files (RLIMIT_NOFILE) of workers."),
        set: |builder, call| {
            builder.main.rlimit_nofile = Some(call.number()? as u64);
            Ok(())
        },
    },
    Directive {
        row: row(
            "worker_rlimit_core",
            "size",
            "-",
            "The limit of a core file (RLIMIT_CORE) of workers; without it, or with 0, there are none. They hold the keys of certificates and what sessions carry.",
        ),
        set: set::worker_rlimit_core,
    },
    Directive {
        row: row(
            "worker_shutdown_timeout",
            "time",
            "-",
            "How long a worker told to finish waits for its sessions; then it ends them. Without it, as long as they last.",
        ),
        set: |builder, call| {
            builder.main.shutdown_timeout = Some(call.time()?);
            Ok(())
        },
    },
    Directive {
        row: row("working_directory", "path", "-", "The directory workers change to; core files are written there."),
        set: set::working_directory,
    },
    Directive {
        row: row("daemon", "on | off", "on", "Whether weir leaves the terminal and runs in the background."),
        set: |builder, call| {
            builder.main.daemon = Some(call.flag()?);
            Ok(())
        },
    },
    Directive {
        row: row(
            "master_process",
            "on | off",
            "on",
            "Whether there are workers; `off` serves everything from one process, for development, and nobody looks after caches.",
        ),
        set: |builder, call| {
            builder.main.master_process = Some(call.flag()?);
            Ok(())
        },
    },
    Directive {
        row: row("pid", "path", "logs/nginx.pid", "The file that holds the process id of the master."),
        set: |builder, call| {
            builder.main.pid = Some(call.path(1));
            Ok(())
        },
    },
    Directive {
        row: Row {
            arity: Arity::AtLeast(1),
            repeat: true,
            ..row(
                "error_log",
                "path | stderr | syslog:server=address[,facility=name][,tag=word][,nohostname] [debug | info | notice | warn | error | crit | alert | emerg]",
                "logs/error.log error",
                "Where errors are logged and from which level on; may be given several times. Syslog servers are those of `access_log`, a line's level is its severity.",
            )
        },
        set: set::error_log,
    },
    Directive {
        row: Row {
            repeat: true,
            ..row(
                "env",
                "name[=value]",
                "TZ",
                "An environment variable that workers keep, or get with this value; all others are removed.",
            )
        },
        set: set::env,
    },
    Directive {
        row: row(
            "lock_file",
            "path",
            "-",
            "Accepted for compatibility, without effect: workers need no lock to share a socket.",
        ),
        set: |_, _| Ok(()),
    },
    Directive {
        row: row(
            "timer_resolution",
            "time",
            "-",
            "Accepted for compatibility, without effect: reading the clock costs no system call.",
        ),
        set: |_, call| call.time().map(drop),
    },
    Directive {
        row: row(
            "pcre_jit",
            "on | off",
            "-",
            "Accepted for compatibility, without effect: no directive takes a regular expression.",
        ),
        set: |_, call| call.flag().map(drop),
    },
    Directive {
        row: Row {
            arity: Arity::Between(2, 3),
            repeat: true,
            ..row(
                "thread_pool",
                "name threads=number [max_queue=number]",
                "-",
                "Accepted for compatibility with a warning, without effect: there is no file I/O to hand to threads.",
            )
        },
        set: set::thread_pool,
    },
    Directive {
        row: Row {
            repeat: true,
            ..row(
                "load_module",
                "path",
                "-",
                "Accepted for compatibility with a warning, without effect: everything is built in.",
            )
        },
        set: |_, call| {
            let path = call.text(1)?;
            call.warn(format!(
                "\"load_module\" has no effect, module \"{path}\" is not loaded: everything is built in"
            ));
            Ok(())
        },
    },
    Directive {
        row: row("debug_points", "stop | abort", "-", "Accepted for compatibility, without effect."),
        set: set::debug_points,
    },
    Directive {
        row: row(
            "ssl_engine",
            "name",
            "-",
            "Accepted for compatibility with a warning, without effect: keys and ciphers do not use an OpenSSL engine.",
        ),
        set: |_, call| {
            let name = call.text(1)?;
            call.warn(format!("\"ssl_engine\" has no effect, engine \"{name}\" is not used"));
            Ok(())
        },
    },
];
