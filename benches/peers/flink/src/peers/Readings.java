package peers;

/** EMA(12), EMA(26) and Wilder's RSI(14) over the closes of one symbol. */
public class Readings {
  public long closes;
  public double previous, ema12, ema26, gain, loss;

  /** Takes the next close. */
  void add(double close) {
    if (closes == 0) {
      ema12 = ema26 = close;
    } else {
      ema12 += (close - ema12) * 2 / 13;
      ema26 += (close - ema26) * 2 / 27;
      double up = Math.max(close - previous, 0), down = Math.max(previous - close, 0);
      // the first fourteen changes are averaged, the later ones smoothed
      boolean warm = closes > 14;
      gain = warm ? (gain * 13 + up) / 14 : gain + up / 14;
      loss = warm ? (loss * 13 + down) / 14 : loss + down / 14;
    }
    previous = close;
    closes++;
  }

  /** The RSI; null before fourteen changes. */
  Double rsi14() {
    if (closes <= 14) return null;
    return gain + loss == 0 ? 50.0 : 100 * gain / (gain + loss);
  }
}
