import java.util.*;
public class Grow {
  public static void main(String[] args) throws Exception {
    Map<Integer, byte[]> kept = new HashMap<>();
    Random random = new Random(1);
    for (int i = 0; i < 400_000; i++) kept.put(random.nextInt(20_000), new byte[random.nextInt(2_000)]);
    System.out.println("ready");
    Thread.sleep(600_000);
  }
}
