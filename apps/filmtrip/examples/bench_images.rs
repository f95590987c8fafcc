//! CPU and memory for the three JPEGs of a photo, beside sharp (libvips) on the same photos in the same run.
//! Arguments: the filmtrip program, the folder of the npm package sharp, a folder to keep the photos in.
//! Called again by itself as `--inside` or `--isolated`, so that each figure is of a fresh process.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use filmtrip::images::{self, Options, Processed, sample, worker};
use serde::{Deserialize, Serialize};

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

const PHOTOS: [(&str, u32, u32); 3] = [("2.7 MP", 2010, 1340), ("24 MP", 6000, 4000), ("60 MP", 9504, 6336)];
/// Fresh processes of each, taking turns, and rounds in each of them.
const TURNS: usize = 3;
const ROUNDS: usize = 3;
const PHOTOS_A_ROUND: usize = 4;

#[derive(Serialize, Deserialize)]
struct Figures {
    /// Of each round, a photo.
    cpu_ms: Vec<f64>,
    peak_kib: u64,
    /// Of the three JPEGs.
    bytes: usize,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["--inside", photo] => inside(Path::new(photo)),
        ["--isolated", photo, program] => isolated(Path::new(photo), program),
        [program, sharp, folder] => compare(program, sharp, Path::new(folder)),
        _ => Err("usage: bench_images FILMTRIP SHARP FOLDER".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("bench_images: {e}");
            ExitCode::FAILURE
        }
    }
}

fn compare(program: &str, sharp: &str, folder: &Path) -> Fallible<()> {
    let program = std::path::absolute(program)?.display().to_string();
    let sharp = std::path::absolute(sharp)?.display().to_string();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/bench_images.cjs");
    let script = script.display().to_string();
    let own = std::env::current_exe()?.display().to_string();
    println!(
        "Three JPEGs (longest side 600, 1024, 2048; quality 85; 4:2:0) of grainy 4:2:0 photos.\n\
         CPU is user + system a photo, the median of {} rounds of {PHOTOS_A_ROUND} photos in {TURNS} processes;\n\
         peak is the resident set of the process that decodes. sharp is {}, each size from the file or\n\
         from the next larger one, with one thread and with its default; starting node is not counted,\n\
         starting FilmTrip's isolated process is. Ratios are to the best of sharp's four.\n",
        TURNS * ROUNDS,
        version(&sharp)
    );
    for (name, width, height) in PHOTOS {
        let photo = photo(folder, width, height)?.display().to_string();
        let (rounds, photos) = (ROUNDS.to_string(), PHOTOS_A_ROUND.to_string());
        let of_sharp = |how: &'static str, threads: &'static str| {
            vec![
                "node".to_owned(),
                script.clone(),
                sharp.clone(),
                photo.clone(),
                how.into(),
                threads.into(),
                rounds.clone(),
                photos.clone(),
            ]
        };
        let runners = [
            ("filmtrip, in-process", vec![own.clone(), "--inside".into(), photo.clone()]),
            ("filmtrip, isolated", vec![own.clone(), "--isolated".into(), photo.clone(), program.clone()]),
            ("sharp, next larger, 1 thread", of_sharp("chain", "1")),
            ("sharp, next larger, default", of_sharp("chain", "0")),
            ("sharp, from file, 1 thread", of_sharp("file", "1")),
            ("sharp, from file, default", of_sharp("file", "0")),
        ];
        let mut results: Vec<(Vec<f64>, u64, usize)> = vec![Default::default(); runners.len()];
        for _ in 0..TURNS {
            for ((_, command), result) in runners.iter().zip(&mut results) {
                let figures = run(command)?;
                result.0.extend(figures.cpu_ms);
                result.1 = result.1.max(figures.peak_kib);
                result.2 = figures.bytes;
            }
        }
        print_table(name, &runners.map(|r| r.0), &results);
    }
    Ok(())
}

fn print_table(name: &str, names: &[&str], results: &[(Vec<f64>, u64, usize)]) {
    let rows: Vec<(f64, f64, usize)> =
        results.iter().map(|(cpu, peak, bytes)| (median(cpu), *peak as f64 / 1024.0, *bytes)).collect();
    let best = |pick: fn(&(f64, f64, usize)) -> f64| rows[2..].iter().map(pick).fold(f64::MAX, f64::min);
    let (cpu, peak) = (best(|r| r.0), best(|r| r.1));
    println!(
        "{name:<30} {:>8} {:>12} {:>9} {:>9} {:>7} {:>7}",
        "CPU ms", "photos/CPU-s", "peak MiB", "KiB out", "x CPU", "x peak"
    );
    for (name, row) in names.iter().zip(&rows) {
        println!(
            "  {name:<28} {:>8.1} {:>12.2} {:>9.0} {:>9} {:>7.2} {:>7.2}",
            row.0,
            1000.0 / row.0,
            row.1,
            row.2 / 1024,
            row.0 / cpu,
            row.1 / peak
        );
    }
    println!();
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn version(sharp: &str) -> String {
    let read = || {
        let text = std::fs::read_to_string(Path::new(sharp).join("package.json")).ok()?;
        let package: serde_json::Value = serde_json::from_str(&text).ok()?;
        package["version"].as_str().map(str::to_owned)
    };
    read().unwrap_or_else(|| "of an unknown version".to_owned())
}

fn run(command: &[String]) -> Fallible<Figures> {
    let output = Command::new(&command[0]).args(&command[1..]).output()?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A photo with grain, as a camera writes it: quality 90, colour at half the resolution.
fn photo(folder: &Path, width: u32, height: u32) -> Fallible<PathBuf> {
    let path = folder.join(format!("{width}x{height}.jpg"));
    if !path.exists() {
        std::fs::create_dir_all(folder)?;
        let pixels = turbojpeg::decompress(&sample::photo(width, height, 7)?, turbojpeg::PixelFormat::RGB)?;
        let jpeg = turbojpeg::compress(pixels.as_deref(), 90, turbojpeg::Subsamp::Sub2x2)?;
        std::fs::write(&path, &jpeg)?;
    }
    Ok(path)
}

fn bytes(done: &Processed) -> usize {
    done.jpegs.iter().map(Vec::len).sum()
}

fn inside(photo: &Path) -> Fallible<()> {
    let work = || images::process(photo, images::inspect(photo, u64::MAX)?, &Options::default());
    let figures = rounds(work)?;
    let peak_kib = high_water("self").ok_or("no VmHWM")?;
    println!("{}", serde_json::to_string(&Figures { peak_kib, ..figures })?);
    Ok(())
}

fn isolated(photo: &Path, program: &str) -> Fallible<()> {
    let scratch = std::env::temp_dir();
    let limit = Duration::from_secs(60);
    let work = || {
        let header = images::inspect(photo, u64::MAX)?;
        worker::process_with(OsStr::new(program), photo, header, &Options::default(), &scratch, limit)
    };
    let (done, mut peak_kib) = (AtomicBool::new(false), 0);
    let figures = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for child in children() {
                    peak_kib = peak_kib.max(high_water(&child).unwrap_or(0));
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let figures = rounds(work);
        done.store(true, Ordering::Relaxed);
        figures
    })?;
    println!("{}", serde_json::to_string(&Figures { peak_kib, ..figures })?);
    Ok(())
}

fn rounds(work: impl Fn() -> Result<Processed, images::ImageError>) -> Fallible<Figures> {
    let bytes = bytes(&work()?);
    let mut cpu_ms = Vec::new();
    for _ in 0..ROUNDS {
        let before = cpu()?;
        for _ in 0..PHOTOS_A_ROUND {
            work()?;
        }
        cpu_ms.push((cpu()? - before) / PHOTOS_A_ROUND as f64);
    }
    Ok(Figures { cpu_ms, peak_kib: 0, bytes })
}

/// User and system time of this process and of its children that have ended, in milliseconds.
fn cpu() -> Fallible<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(4).map(|n| n.parse::<u64>().unwrap_or(0)).sum();
    Ok(ticks as f64 * 1000.0 / rustix::param::clock_ticks_per_second() as f64)
}

/// Largest resident set so far, in KiB.
fn high_water(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn children() -> BTreeSet<String> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = tasks.filter_map(|t| std::fs::read_to_string(t.path().join("children")).ok());
    lists.flat_map(|l| l.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}
