package peers;

/** A minute bar while its window is open. Open and close are those by (time, sequence), not by arrival. */
public class Bar {
  public long firstAt = Long.MAX_VALUE, firstSequence, lastAt = Long.MIN_VALUE, lastSequence;
  public double open, high = Double.NEGATIVE_INFINITY, low = Double.POSITIVE_INFINITY, close, turnover;
  public long volume, trades;

  void add(Tick tick) {
    if (tick.at < firstAt || (tick.at == firstAt && tick.sequence < firstSequence)) {
      firstAt = tick.at;
      firstSequence = tick.sequence;
      open = tick.price;
    }
    if (tick.at > lastAt || (tick.at == lastAt && tick.sequence > lastSequence)) {
      lastAt = tick.at;
      lastSequence = tick.sequence;
      close = tick.price;
    }
    high = Math.max(high, tick.price);
    low = Math.min(low, tick.price);
    volume += tick.quantity;
    trades++;
    turnover += tick.price * tick.quantity;
  }
}
