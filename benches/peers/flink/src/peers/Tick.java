package peers;

/** The five fields of a record that a bar needs. */
public class Tick {
  public String symbol;
  /** Event time in microseconds. */
  public long at;
  public long sequence, quantity;
  public double price;
}
