package peers;

import java.io.IOException;
import org.apache.flink.api.common.serialization.AbstractDeserializationSchema;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonFactory;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonParser;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonToken;

/** A streaming decoder by hand: no tree, no reflection, and fields that no bar needs are skipped. */
public class TickDecoder extends AbstractDeserializationSchema<Tick> {
  private transient JsonFactory json;

  @Override
  public Tick deserialize(byte[] record) throws IOException {
    if (json == null) json = new JsonFactory();
    Tick tick = new Tick();
    try (JsonParser parser = json.createParser(record)) {
      parser.nextToken();
      while (parser.nextToken() == JsonToken.FIELD_NAME) {
        String name = parser.currentName();
        parser.nextToken();
        switch (name) {
          case "symbol" -> tick.symbol = parser.getText();
          case "ts" -> tick.at = parser.getLongValue();
          case "seq" -> tick.sequence = parser.getLongValue();
          case "price" -> tick.price = parser.getDoubleValue();
          case "qty" -> tick.quantity = parser.getLongValue();
          default -> parser.skipChildren();
        }
      }
    }
    return tick;
  }
}
