Paas.component 'cloud_controller_ng' do
  def log_file = vcap_sys_log + 'cloud_controller.log'

  def start
    return if running_already?('cloud controller')

    first = first_run?
    render 'cloud_controller_ng.yml.erb'
    inside(package) { make_database } if first
    inside(package) do
      ENV['LD_LIBRARY_PATH'] = "#{target}/postgres/lib"
      ruby "bin/cloud_controller -m -c #{config_file} #{outputs} &"
    end
  end

  private

  # On this host, and whatever it held; the tables are those of the configured one.
  def make_database
    ENV['LD_LIBRARY_PATH'] = "#{target}/postgres/lib"
    postgres = "#{target}/postgres/bin"
    here = '-h localhost -p 5432'
    on_it = "#{postgres}/psql #{here} -d cloud_controller -c"
    run "#{postgres}/dropdb #{here} cloud_controller"
    run "#{postgres}/createdb #{here} cloud_controller"
    run %(#{on_it} "create role root SUPERUSER LOGIN INHERIT CREATEDB")
    run %(#{on_it} "alter role root with password 'changeme'")
    run %(#{postgres}/psql -p 5432 -h localhost -d cloud_controller -c "create extension citext")
    ENV['CLOUD_CONTROLLER_NG_CONFIG'] = "#{vcap_sys_config}/cloud_controller_ng.yml"
    rake '--trace db:migrate'
  end
end
