package peers;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.types.Row;
import org.apache.flink.util.Collector;

/**
 * Minute bars from Kafka to Parquet, to the end of the topic, in one JVM with two task slots and a checkpoint every ten seconds.
 *
 * <pre>Job bars|indicators BROKERS TOPIC OUT_FOLDER CHECKPOINT_FOLDER</pre>
 *
 * A window closes five seconds behind the greatest event time of its partition. A later trade is dropped: nothing corrects a bar, and
 * the readings are computed once, in order of the bars.
 */
public final class Job {
  private static final String[] BAR = {"symbol", "open_at", "open", "high", "low", "close", "volume", "trades", "vwap"};
  private static final String[] READINGS = {"ema_12", "ema_26", "rsi_14"};

  private Job() {}

  public static void main(String[] arguments) throws Exception {
    boolean indicators = arguments[0].equals("indicators");
    StreamExecutionEnvironment environment = StreamExecutionEnvironment.createLocalEnvironment(settings(arguments[4]));
    StreamTableEnvironment tables = StreamTableEnvironment.create(environment);
    tables.executeSql("CREATE TABLE sink (" + columns(indicators) + ") WITH ('connector' = 'filesystem', 'format' = 'parquet',"
        + " 'parquet.compression' = 'ZSTD', 'path' = 'file://" + arguments[3] + "')");
    DataStream<Row> bars = bars(environment, arguments[1], arguments[2]);
    tables.fromDataStream(indicators ? readings(bars) : bars).executeInsert("sink").await();
  }

  private static Configuration settings(String checkpoints) {
    Configuration settings = new Configuration();
    settings.setString("parallelism.default", "2");
    settings.setString("execution.checkpointing.interval", "10 s");
    settings.setString("execution.checkpointing.dir", "file://" + checkpoints);
    settings.setString("pipeline.object-reuse", "true");
    settings.setString("rest.port", "0");
    settings.setString("rest.bind-port", "0");
    settings.setString("taskmanager.memory.network.max", "256m");
    return settings;
  }

  private static DataStream<Row> bars(StreamExecutionEnvironment environment, String brokers, String topic) {
    KafkaSource<Tick> source = KafkaSource.<Tick>builder().setBootstrapServers(brokers).setTopics(topic).setGroupId("peers")
        .setStartingOffsets(OffsetsInitializer.earliest()).setBounded(OffsetsInitializer.latest())
        .setValueOnlyDeserializer(new TickDecoder()).build();
    WatermarkStrategy<Tick> times = WatermarkStrategy.<Tick>forBoundedOutOfOrderness(Duration.ofSeconds(5))
        .withTimestampAssigner((tick, received) -> tick.at / 1000);
    return environment.fromSource(source, times, "ticks").keyBy(tick -> tick.symbol)
        .window(TumblingEventTimeWindows.of(Duration.ofMinutes(1))).aggregate(new Folding(), new Closing()).returns(type(BAR));
  }

  /** Windows of one symbol leave in order of time, so each close follows the one before it. */
  private static DataStream<Row> readings(DataStream<Row> bars) {
    List<String> names = new ArrayList<>(List.of(BAR));
    names.addAll(List.of(READINGS));
    return bars.keyBy(row -> (String) row.getField(0)).process(new Reading()).returns(type(names.toArray(String[]::new)));
  }

  private static TypeInformation<?> typeOf(String name) {
    return switch (name) {
      case "symbol" -> Types.STRING;
      case "open_at", "volume", "trades" -> Types.LONG;
      default -> Types.DOUBLE;
    };
  }

  private static TypeInformation<Row> type(String[] names) {
    TypeInformation<?>[] types = new TypeInformation<?>[names.length];
    for (int index = 0; index < names.length; index++) types[index] = typeOf(names[index]);
    return Types.ROW_NAMED(names, types);
  }

  private static String columns(boolean indicators) {
    List<String> columns = new ArrayList<>();
    for (String name : BAR) columns.add(column(name));
    if (indicators) for (String name : READINGS) columns.add(column(name));
    return String.join(", ", columns);
  }

  private static String column(String name) {
    TypeInformation<?> type = typeOf(name);
    return "`" + name + "` " + (type == Types.STRING ? "STRING" : type == Types.LONG ? "BIGINT" : "DOUBLE");
  }

  private static final class Folding implements AggregateFunction<Tick, Bar, Bar> {
    @Override public Bar createAccumulator() { return new Bar(); }

    @Override public Bar add(Tick tick, Bar bar) {
      bar.add(tick);
      return bar;
    }

    @Override public Bar getResult(Bar bar) { return bar; }

    @Override public Bar merge(Bar one, Bar other) { throw new UnsupportedOperationException("tumbling windows do not merge"); }
  }

  private static final class Closing extends ProcessWindowFunction<Bar, Row, String, TimeWindow> {
    @Override public void process(String symbol, Context context, Iterable<Bar> windows, Collector<Row> out) {
      Bar bar = windows.iterator().next();
      out.collect(Row.of(symbol, context.window().getStart() * 1000, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.trades,
          bar.turnover / bar.volume));
    }
  }

  private static final class Reading extends KeyedProcessFunction<String, Row, Row> {
    private transient ValueState<Readings> state;

    @Override public void open(OpenContext context) {
      state = getRuntimeContext().getState(new ValueStateDescriptor<>("readings", Readings.class));
    }

    @Override public void processElement(Row bar, Context context, Collector<Row> out) throws Exception {
      Readings readings = state.value();
      if (readings == null) readings = new Readings();
      readings.add((Double) bar.getField(5));
      state.update(readings);
      out.collect(Row.join(bar, Row.of(readings.ema12, readings.ema26, readings.rsi14())));
    }
  }
}
