import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.flink.api.common.JobExecutionResult;
import org.apache.flink.api.common.functions.MapFunction;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.table.api.TableResult;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.types.Row;
import org.apache.flink.types.RowKind;

/**
 * Runs one query of NEXMark in a local cluster of Flink and prints how long the job took and what it used, as JSON.
 *
 * Arguments: the number of cores, a folder for checkpoints, milliseconds between them, `append` or `changelog`, then a
 * file of SQL to warm up with and one to measure. A file has statements that end in `;` at the end of a line; the last
 * one is the query: an INSERT for `append`, a SELECT for `changelog`, whose newest row of each first column is printed.
 */
public final class NexmarkFlink {
    private static final Map<String, String> NEWEST = new ConcurrentHashMap<>();

    public static void main(String[] arguments) throws Exception {
        boolean changelog = arguments[3].equals("changelog");
        for (int script = 4; script < arguments.length; script++) {
            NEWEST.clear();
            long written = written();
            double processor = processorSeconds();
            long millis = run(arguments, Files.readString(Path.of(arguments[script])), changelog);
            System.out.println(
                    "{\"seconds\": " + millis / 1000.0
                            + ", \"bytes_written\": " + (written() - written)
                            + ", \"processor_seconds\": " + (processorSeconds() - processor)
                            + ", \"memory_peak_bytes\": " + memoryPeak()
                            + ", \"newest\": " + newest() + "}");
        }
        // Threads of the cluster may linger.
        System.exit(0);
    }

    private static long run(String[] arguments, String script, boolean changelog) throws Exception {
        int cores = Integer.parseInt(arguments[0]);
        Configuration configuration = new Configuration();
        configuration.setString("execution.checkpointing.interval", arguments[2] + " ms");
        configuration.setString("execution.checkpointing.mode", "EXACTLY_ONCE");
        configuration.setString("execution.checkpointing.storage", "filesystem");
        configuration.setString("execution.checkpointing.dir", "file://" + arguments[1]);
        // As the suite of NEXMark has them.
        configuration.setString("pipeline.object-reuse", "true");
        configuration.setString("table.exec.mini-batch.enabled", "true");
        configuration.setString("table.exec.mini-batch.allow-latency", "2s");
        configuration.setString("table.exec.mini-batch.size", "50000");
        configuration.setString("table.optimizer.distinct-agg.split.enabled", "true");
        configuration.setString("table.local-time-zone", "UTC");
        StreamExecutionEnvironment environment =
                StreamExecutionEnvironment.createLocalEnvironment(cores, configuration);
        StreamTableEnvironment tables = StreamTableEnvironment.create(environment);
        String[] statements = script.split(";\\s*\n");
        for (int index = 0; index < statements.length - 1; index++) {
            tables.executeSql(statements[index]);
        }
        String query = statements[statements.length - 1];
        if (changelog) {
            tables.toChangelogStream(tables.sqlQuery(query)).map(new Remember()).sinkTo(new DiscardingSink<>());
            return environment.execute().getNetRuntime();
        }
        TableResult submitted = tables.executeSql(query);
        JobExecutionResult result = submitted.getJobClient().orElseThrow().getJobExecutionResult().get();
        return result.getNetRuntime();
    }

    private static long written() throws IOException {
        return number("/proc/self/io", "write_bytes:");
    }

    private static long memoryPeak() throws IOException {
        return number("/proc/self/status", "VmHWM:") * 1024;
    }

    private static double processorSeconds() {
        OperatingSystemMXBean system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        return system.getProcessCpuTime() / 1e9;
    }

    private static long number(String file, String name) throws IOException {
        for (String line : Files.readAllLines(Path.of(file))) {
            if (line.startsWith(name)) {
                return Long.parseLong(line.substring(name.length()).replace("kB", "").trim());
            }
        }
        throw new IOException(file + " has no " + name);
    }

    private static String newest() {
        StringBuilder json = new StringBuilder("{");
        for (Map.Entry<String, String> entry : new TreeMap<>(NEWEST).entrySet()) {
            json.append(json.length() > 1 ? ", " : "");
            json.append('"').append(entry.getKey()).append("\": \"").append(entry.getValue()).append('"');
        }
        return json.append('}').toString();
    }

    /** Keeps the newest row of each key; one subtask has all rows of a key. */
    private static final class Remember implements MapFunction<Row, Integer> {
        private static final long serialVersionUID = 1;

        @Override
        public Integer map(Row row) {
            if (row.getKind() == RowKind.INSERT || row.getKind() == RowKind.UPDATE_AFTER) {
                NEWEST.put(String.valueOf(row.getField(0)), String.valueOf(row.getField(1)));
            }
            return 0;
        }
    }
}
