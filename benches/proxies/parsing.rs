//! What it takes to read a large configuration.

use std::fmt::Write;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use crate::Result;
use crate::contender::{Kind, Port};
use crate::table::{Row, Sample, Table};
use crate::workload::Bench;

/// Each is a group of six servers and a server before them: 16 lines.
const GROUPS: usize = 1_250;

/// `-t` of weir and of nginx on the same directives. Other languages cannot be compared line by line.
pub fn parsing(bench: &Bench) -> Result<Table> {
    let contenders = bench.contenders(|contender| matches!(contender.kind, Kind::Weir(_) | Kind::Nginx));
    let mut rows: Vec<Row> = contenders.iter().map(Row::of).collect();
    // `-t` binds what is listened on: one free port, on many addresses of the loopback network.
    let port = Port::reserve()?;
    let file = bench.folder.path().join("large.conf");
    let mut lines = 0;
    for _ in bench.turns() {
        for row in &mut rows {
            let (program, text) = match &row.contender.kind {
                Kind::Weir(program) => (program.clone(), large("tcp", "", port.number())),
                _ => (
                    PathBuf::from("/usr/sbin/nginx"),
                    large("stream", "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n", port.number()),
                ),
            };
            lines = text.lines().count();
            fs::write(&file, text)?;
            let (before, start) = (children_time()?, Instant::now());
            let output = Command::new("taskset")
                .args(["--cpu-list", &bench.cores.proxy.to_string()])
                .arg(program)
                .args(["-t", "-q", "-p"])
                .arg(bench.folder.path())
                .arg("-e")
                .arg(bench.folder.path().join("error.log"))
                .arg("-c")
                .arg(&file)
                .stdin(Stdio::null())
                .output()?;
            let elapsed = start.elapsed();
            if !output.status.success() {
                return Err(format!("{} -t: {}", row.contender.name, String::from_utf8_lossy(&output.stderr)).into());
            }
            let used = children_time()? - before;
            row.samples.push(Sample { cost: used.as_secs_f64() * 1e3, rate: lines as f64 / elapsed.as_secs_f64() });
        }
    }
    Ok(Table { subject: format!("{lines} lines"), rows })
}

fn large(block: &str, first: &str, port: u16) -> String {
    let mut text = format!(
        "{first}pid bench.pid;\nevents {{\n    worker_connections 16384;\n}}\n{block} {{\n    access_log off;\n"
    );
    for group in 0..GROUPS {
        let _ = writeln!(text, "    upstream group{group} {{");
        for server in 0..6 {
            let _ = writeln!(
                text,
                "        server 10.{}.{}.{server}:5432 weight={} max_fails=3 fail_timeout=10s;",
                group / 256,
                group % 256,
                server + 1
            );
        }
        let listen = Ipv4Addr::new(127, 1, (group / 250) as u8, (group % 250 + 1) as u8);
        let _ = write!(
            text,
            "    }}\n    server {{\n        listen {listen}:{port};\n        proxy_pass group{group};\n        proxy_connect_timeout 5s;\n        \
             allow 10.0.0.0/8;\n        deny all;\n        tcp_nodelay on;\n    }}\n"
        );
    }
    text.push_str("}\n");
    text
}

/// CPU time of all children that have ended.
fn children_time() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok(Duration::from_micros((usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as u64))
}
