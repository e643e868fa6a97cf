"""Runs one query of NEXMark in Spark Structured Streaming and prints how long it took and what it used, as JSON.

    python nexmark_spark.py QUERY CORES FOLDER

FOLDER/input/<stream>/ has the records as files in the order of time; the answer goes to FOLDER/out. A trigger takes as
many files as come to about a million records, and the query ends when all are read. It is run over the first file first,
to warm up.
"""

import json
import os
import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession, functions as f

COLUMNS = {
    "person": "id BIGINT, name STRING, email_address STRING, credit_card STRING, city STRING, state STRING, ts TIMESTAMP, extra STRING",
    "auction": "id BIGINT, item_name STRING, description STRING, initial_bid BIGINT, reserve BIGINT, ts TIMESTAMP, expires TIMESTAMP, seller BIGINT, category BIGINT, extra STRING",
    "bid": "auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, ts TIMESTAMP, extra STRING",
}
STREAMS = {"q3": ["person", "auction"], "q8": ["person", "auction"]}
FILES_PER_TRIGGER = 4


def q0(bid):
    return bid.select("auction", "bidder", "price", "ts", "extra")


def q1(bid):
    price = f.expr("CAST(0.908 AS DECIMAL(4,3)) * CAST(price AS DECIMAL(19,0))").alias("price")
    return bid.select("auction", "bidder", price, "ts", "extra")


def q2(bid):
    return bid.where("auction % 123 = 0").select("auction", "price")


def q3(person, auction):
    sellers = person.where("state IN ('OR', 'ID', 'CA')").select("id", "name", "city", "state")
    sold = auction.where("category = 10").select(f.col("id").alias("auction"), "seller")
    return sold.join(sellers, f.expr("id = seller")).select("name", "city", "state", f.col("auction").alias("id"))


def q5(bid):
    counts = bid.groupBy(f.window("ts", "10 seconds", "2 seconds"), "auction").count()
    tops = counts.groupBy("window").agg(f.max("count").alias("top"))
    return counts.join(tops, "window").where("count >= top").selectExpr("auction", "count AS num")


def q7(bid):
    # One column of event time a stream is all that Spark allows.
    windowed = bid.select("auction", "bidder", "price", f.expr("unix_micros(ts)").alias("micros"), "extra", f.window("ts", "10 seconds"))
    tops = bid.groupBy(f.window("ts", "10 seconds")).agg(f.max("price").alias("top"))
    joined = windowed.join(tops, "window").where("price = top")
    return joined.selectExpr("auction", "bidder", "price", "timestamp_micros(micros) AS ts", "extra")


def q8(person, auction):
    np = person.select("id", "name", f.window("ts", "10 seconds")).dropDuplicates(["id", "name", "window"])
    na = auction.select("seller", f.window("ts", "10 seconds")).dropDuplicates(["seller", "window"])
    joined = np.join(na, f.expr("seller = id") & (np["window"] == na["window"]))
    return joined.select("id", "name", np["window"]["start"].alias("ws"))


def q11(bid):
    sessions = bid.groupBy(f.session_window("ts", "10 seconds"), "bidder").count()
    return sessions.selectExpr("bidder", "count AS bid_count", "session_window.start AS window_start", "session_window.end AS window_end")


QUERIES = {query.__name__: query for query in (q0, q1, q2, q3, q5, q7, q8, q11)}


def run(spark, name, inputs, out):
    streams = []
    for stream in STREAMS.get(name, ["bid"]):
        reader = spark.readStream.schema(COLUMNS[stream]).option("maxFilesPerTrigger", FILES_PER_TRIGGER)
        rows = reader.json(str(inputs / stream))
        # Without a watermark where rows are taken one by one: their state, if any, is kept for good.
        streams.append(rows if name in ("q0", "q1", "q2", "q3") else rows.withWatermark("ts", "4 seconds"))
    answer = QUERIES[name](*streams)
    writer = answer.writeStream.format("parquet").outputMode("append").trigger(availableNow=True)
    writer = writer.option("path", str(out)).option("checkpointLocation", str(out) + "-checkpoint")
    started = time.monotonic()
    writer.start().awaitTermination()
    return time.monotonic() - started


def used(process):
    """Bytes written and processor seconds, of the JVM and of this."""
    written, ticks = 0, 0
    for one in (process, os.getpid()):
        written += next(int(line.split()[1]) for line in open(f"/proc/{one}/io") if line.startswith("write_bytes:"))
        words = open(f"/proc/{one}/stat").read().rsplit(")", 1)[1].split()
        ticks += int(words[11]) + int(words[12])
    return written, ticks / os.sysconf("SC_CLK_TCK")


def peak(process):
    return sum(
        next(int(line.split()[1]) * 1024 for line in open(f"/proc/{one}/status") if line.startswith("VmHWM:"))
        for one in (process, os.getpid())
    )


def main(name, cores, folder):
    folder = Path(folder)
    session = SparkSession.builder.master(f"local[{cores}]").appName(name).config("spark.driver.memory", "2g")
    session = session.config("spark.ui.enabled", "false").config("spark.sql.shuffle.partitions", cores)
    session = session.config("spark.sql.session.timeZone", "UTC").config("spark.sql.statistics.size.autoUpdate.enabled", "false")
    session = session.config("spark.sql.streaming.metricsEnabled", "false").config("spark.local.dir", str(folder / "local"))
    spark = session.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    process = spark.sparkContext._gateway.proc.pid
    for stream in STREAMS.get(name, ["bid"]):
        warm = folder / "warm" / stream
        warm.mkdir(parents=True)
        first = min((folder / "input" / stream).iterdir())
        (warm / first.name).symlink_to(first.resolve())
    run(spark, name, folder / "warm", folder / "warm-out")
    before = used(process)
    seconds = run(spark, name, folder / "input", folder / "out")
    after = used(process)
    print(json.dumps({
        "seconds": seconds, "bytes_written": after[0] - before[0], "processor_seconds": after[1] - before[1],
        "memory_peak_bytes": peak(process),
    }))


if __name__ == "__main__":
    main(*sys.argv[1:])
